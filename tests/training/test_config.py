"""The recipes of configs/ hold the published values, and whatever is wrong with settings is refused."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cut3r.data.datasets import DATASETS
from cut3r.data.loader import LoaderConfig
from cut3r.model.config import ModelConfig, published_224_linear, published_512_dpt
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs
from cut3r.training.config import RunConfig, TrainConfig
from cut3r.training.data_config import SYNTHETIC, CurriculumStage, DataConfig, PathsConfig
from cut3r.training.feed import DataFeed, MissingDatasetsError
from cut3r.training.freeze import Freeze, freeze
from cut3r.training.lora import add_factors
from cut3r.training.loss_config import GuidanceConfig, LossConfig, PointLoss
from cut3r.training.optim import Together
from cut3r.training.precision import Precision, count_parameters
from cut3r.training.start import prepare

CONFIGS = Path(__file__).parents[2] / "configs"
FROM_NOTHING = (
    *("loss.guidance={matching: 1, attention: 0.6, flow: 2}", "model.state.tokens=64"),
    *("optim.kind=muon", "run.start=own_place"),
)

# training_configs.md, table "Keys": the columns
RECIPES = ("stage1", "stage2", "stage3", "stage4", "linear_224_fixed_16", "dpt_512_vary_4_64")
NEVER = 50_000_000
KEYS = {
    "pretrained": (
        None,
        "runs/stage1/checkpoints/final.safetensors",
        "runs/stage2/checkpoints/final.safetensors",
        "runs/stage3/checkpoints/final.safetensors",
        "cut3r_224_linear_4.pth",
        "cut3r_512_dpt_4_64.pth",
    ),
    "load_only_encoder": (False,) * 6,
    "resume": (None,) * 6,
    "long_context": (False, False, False, True, False, True),
    "fixed_length": (True, True, True, True, True, False),
    "num_views": (4, 4, 4, 32, 16, 64),
    "num_test_views": (4,) * 6,
    "criterion": ("plain", "by_kind", "by_kind", "plain", "by_kind", "by_kind"),
    "batch_size": (16, 16, 16, 16, 6, 4),
    "accum_iter": (1, 1, 1, 1, 2, 4),
    "gradient_checkpointing": (False, False, True, True, False, True),
    "epochs": (100, 35, 40, 10, 10, 10),
    "lr": (1e-4, 5e-6, 1e-5, 1e-6, 1e-6, 1e-6),
    "min_lr": (1e-6, 1e-6, 1e-6, 1e-7, 1e-7, 1e-7),
    "warmup_epochs": (10, 1, 2, 0.5, 0.5, 0.5),
    "weight_decay": (0.05,) * 6,
    "betas": ((0.9, 0.95),) * 6,
    "clip": (1.0,) * 6,
    "amp": (True,) * 6,
    "seed": (0,) * 6,
    "benchmark": (True, True, True, True, True, False),
    "num_workers": (8, 8, 8, 8, 16, 4),
    "eval_freq": (1,) * 6,
    "save_freq": (1, 1, 1, 1, 0.1, 0.1),
    "keep_freq": (10, 10, 10, 10, 1, 1),
    "print_freq": (10,) * 6,
    "print_img_freq": (500, 500, 500, 500, NEVER, NEVER),
    "num_imgs_vis": (4,) * 6,
    "allow_repeat": (False, False, True, False, False, True),
    "freeze": ("none", "none", "none", "encoder", "encoder", "encoder"),
    "head_type": ("linear", "linear", "dpt", "dpt", "linear", "dpt"),
    "aug_crop": (16,) * 6,
    "color_jitter": (True,) * 6,
    "test_samples": ({"arkitscenes": 1000},) * 6,
    "test_seed": (42,) * 6,
    # quirk: the original validates stages 3 and 4 at 224
    "test_size": ((224, 224), (224, 224), (384, 512), (384, 512), (224, 224), (384, 512)),
    "samples_per_epoch": (806_000, 801_880, 729_248, 398_684, 797_368, 756_248),
    "datasets": (15, 32, 31, 26, 26, 26),
    "iterations_with_8_processes": (6296, 6264, 5697, 3114, 16611, 23632),
}
SIZES_512 = [[384, 512], [336, 512], [288, 512], [256, 512], [208, 512], [144, 512]]
SIZES_512 += [[512, 384], [512, 336], [512, 288], [512, 256]]
# training_configs.md, table "Datasets": the first part of the folder, the split, and a dash for no split
FOLDERS = """
co3d dust3r_data/processed_co3d train
wildrgbd dust3r_data/processed_wildrgbd train
arkitscenes dust3r_data/processed_arkitscenes train
arkitscenes_highres dust3r_data/processed_arkitscenes_highres train
scannetpp dust3r_data/processed_scannetpp train
scannet dust3r_data/processed_scannet train
hypersim custom_data/processed_hypersim train
blendedmvs dust3r_data/processed_blendedmvs train
megadepth dust3r_data/processed_megadepth train
mapfree mast3r_data/processed_mapfree -
waymo dust3r_data/processed_waymo -
vkitti2 mast3r_data/processed_vkitti -
unreal4k mast3r_data/processed_unreal4k -
tartanair mast3r_data/processed_tartanair -
dl3dv custom_data/processed_dl3dv train
cop3d custom_data/processed_cop3d train
mvimgnet custom_data/processed_mvimgnet train
realestate10k custom_data/processed_re10k -
omniobject3d custom_data/processed_omniobject3d -
threedkb custom_data/processed_3dkb -
irs custom_data/processed_irs -
synscapes custom_data/processed_synscapes -
urbansyn custom_data/processed_urbansyn -
eden custom_data/processed_eden train
smartportraits custom_data/processed_smartportraits train
dynamic_replica custom_data/processed_dynamic_replica train
spring custom_data/processed_spring -
bedlam custom_data/processed_bedlam train
mvs_synth custom_data/processed_mvs_synth train
pointodyssey custom_data/processed_point_odyssey train
uasol custom_data/processed_uasol train
mp3d custom_data/processed_mp3d -
hoi4d custom_data/processed_hoi4d -
"""
SAMPLES = {  # of the datasets above, in that order; 0 also where a dataset is not defined
    "stage1": "32000 48000 100800 56000 33600 56000 33600 33600 33600 100800 78400 5000 1000 33600 160000" + " 0" * 18,
    "stage2": "48000 60000 54000 18000 6000 42000 12000 6000 6000 60000 48000 2400 180 18000 222000 400 16000 4000 "
    "32000 4000 2000 2000 500 12000 16000 20000 400 32000 2000 20000 12000 24000 0",
    "stage3": "44800 56000 56000 22400 16800 38400 11200 22400 22400 84000 20000 5600 168 56000 74000 480 19200 4800 "
    "0 4800 2400 2400 600 0 19200 36000 9400 36000 1400 7200 14400 28800 12000",
    "stage4": "22400 28000 28000 2800 2800 70000 2800 11200 8400 28000 21000 2800 84 42000 42000 3600 9600 4800 12000 "
    "0 0 0 0 0 0 16800 1200 4800 2400 14400 7200 9600 0",
    "linear_224_fixed_16": "44800 56000 56000 5600 5600 140000 5600 22400 16800 56000 42000 5600 168 84000 84000 7200 "
    "19200 9600 24000 0 0 0 0 0 0 33600 2400 9600 4800 28800 14400 19200 0",
    "dpt_512_vary_4_64": "44800 56000 56000 22400 16800 22400 11200 22400 22400 84000 56000 5600 168 56000 84000 480 "
    "19200 4800 38400 0 0 0 0 0 0 26400 1200 36000 2400 24000 14400 28800 0",
}


def published_keys(config):
    data, optim, run = config.data, config.optim, config.run
    samples = [count for count in data.samples.values() if count]
    return {
        "pretrained": None if run.pretrained is None else str(run.pretrained),
        "load_only_encoder": run.encoder_only,
        "resume": run.resume,
        "long_context": config.rollout.chunked,
        "fixed_length": data.loader.fixed_length,
        "num_views": data.num_views,
        "num_test_views": data.validation.num_views,
        "criterion": config.loss.inner.value,
        "batch_size": data.loader.batch_size,
        "accum_iter": optim.accumulate,
        "gradient_checkpointing": run.gradient_checkpointing,
        "epochs": optim.epochs,
        "lr": optim.lr,
        "min_lr": optim.min_lr,
        "warmup_epochs": optim.warmup_epochs,
        "weight_decay": optim.weight_decay,
        "betas": optim.betas,
        "clip": optim.clip_norm,
        "amp": run.precision is Precision.bf16,
        "seed": run.seed,
        "benchmark": run.cudnn_benchmark,
        "num_workers": data.loader.num_workers,
        "eval_freq": run.validate_epochs,
        "save_freq": run.save_epochs,
        "keep_freq": run.keep_epochs,
        "print_freq": run.print_every,
        "print_img_freq": run.picture_every,
        "num_imgs_vis": run.pictures,
        "allow_repeat": data.allow_repeat,
        "freeze": run.freeze.value,
        "head_type": config.model.head.value,
        "aug_crop": data.aug_crop,
        "color_jitter": data.color_jitter,
        "test_samples": data.validation.samples,
        "test_seed": data.validation.seed,
        "test_size": data.validation.size,
        "samples_per_epoch": sum(samples),
        "datasets": len(samples),
        "iterations_with_8_processes": sum(samples) // data.loader.batch_size // 8,
    }


@pytest.mark.parametrize(("column", "name"), list(enumerate(RECIPES)))
def test_a_published_recipe_has_every_published_value(load_recipe, column, name):
    config = load_recipe(name)
    assert published_keys(config) == {key: values[column] for key, values in KEYS.items()}
    linear = KEYS["head_type"][column] == "linear"
    assert config.model == (published_224_linear() if linear else published_512_dpt())
    assert config.data.sizes == ([[224, 224]] if linear else SIZES_512)
    assert config.data.loader.min_views == 4
    assert config.data.masks is None, "each dataset's own: 80, 15 and 5 %, or 75, 20 and 5 %"
    assert config.loss == LossConfig(inner=PointLoss(KEYS["criterion"][column]))
    assert config.run.output_dir == Path("runs") / name


@pytest.mark.parametrize("name", RECIPES)
def test_a_published_recipe_mixes_the_published_datasets(load_recipe, name):
    config = load_recipe(name)
    rows = [line.split() for line in FOLDERS.split("\n") if line]
    counts = dict(zip((row[0] for row in rows), map(int, SAMPLES[name].split()), strict=True))
    assert {n: c for n, c in config.data.samples.items() if c} == {n: c for n, c in counts.items() if c}
    assert {n: str(folder) for n, folder in config.paths.folders.items()} == {row[0]: row[1] for row in rows}
    assert config.data.splits == {row[0]: row[2] for row in rows if row[2] != "-"}
    assert config.data.validation.splits == {"arkitscenes": "test"}


@pytest.mark.parametrize("name", [path.stem for path in CONFIGS.glob("*.yaml")])
def test_every_recipe_is_accepted_and_explains_itself(load_recipe, name):
    assert isinstance(load_recipe(name), TrainConfig)
    assert (CONFIGS / f"{name}.yaml").read_text().startswith("# ")


@pytest.mark.parametrize("name", ["smoke", "overfit", "tiny"])
def test_the_small_recipes_need_no_files(load_recipe, name):
    config = load_recipe(name)
    assert set(config.data.samples) == {SYNTHETIC}
    assert config.run.pretrained is None


@pytest.mark.parametrize("name", ["smoke", "overfit", "tiny"])
def test_recipes_of_rooms_never_show_the_camera(load_recipe, name):
    assert load_recipe(name).data.masks == [1, 0, 0], "or the pose is learned from ray maps and not from images"


def test_the_tiny_network_is_small_enough_to_ship(load_recipe):
    with torch.device("meta"):
        model = Cut3r(load_recipe("tiny").model)
    assert 2 * sum(p.numel() for p in model.parameters()) < 25e6  # bytes, in bfloat16


def test_the_recipe_for_24_gb_learns_corrections_alone(load_recipe):
    config = load_recipe("finetune_24gb")
    with torch.device("meta"):
        model = Cut3r(config.model)
        freeze(model, config.run.freeze, config.run.train_only, rest_learns=not config.run.lora.is_on)
        add_factors(model, config.run.lora)
    total, learning = count_parameters(model)
    # rank 16, 2 x 12 blocks of width 768: q, k, v and both proj of 768 + 768, and qkv of 768 + 2304
    assert learning == 16 * 24 * (5 * 1536 + 3072)
    assert total - learning == pytest.approx(748e6, rel=1e-3)
    assert config.model == published_224_linear()


def test_missing_datasets_are_named_with_what_to_do(load_recipe, tmp_path):
    config = load_recipe("stage1", f"paths.root={tmp_path}")
    with pytest.raises(MissingDatasetsError) as refusal:
        DataFeed(config.data, config.paths, config.model)
    text = str(refusal.value)
    assert "15 of 15 datasets cannot be read" in text
    assert f"co3d: there is no folder {tmp_path}/dust3r_data/processed_co3d" in text
    assert "megadepth: there is no reader of that name" in text or "megadepth" in DATASETS
    assert "data.skip_missing=true" in text


def test_the_template_asks_for_its_reader(load_recipe):
    config = load_recipe("own_dataset")
    with pytest.raises(MissingDatasetsError, match="my_dataset: the reader 'my_dataset:MyDataset' cannot be imported"):
        DataFeed(config.data, config.paths, config.model)


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("optim.warmup_epochs=99", r"warmup_epochs 99\.0 must be between 0 and epochs 4"),
        ("data.sizes=[[50,64]]", r"\[50, 64\] is not a multiple of model\.patch_size 16; the nearest is \[48, 64\]"),
        ("run.export_official=true", "official"),
        ("run.pretrained=/nowhere/weights.pth", "/nowhere/weights.pth"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_batch(load_recipe, tmp_path, override, reason):
    with pytest.raises((ValueError, FileNotFoundError), match=reason):
        prepare(load_recipe("smoke", override, f"run.output_dir={tmp_path}"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("model.state.tokens=9", "3x4 patches and the 9 state tokens lie in 4 columns"),
        ("run.compile=true", "looks into blocks, which run.compile seals"),
        ("run.pretrained=some.safetensors", "own_place is for a decoder without weights"),
    ],
)
def test_guidance_that_cannot_work_is_refused_before_the_first_batch(load_recipe, tmp_path, change, reason):
    with pytest.raises(ValueError, match=reason):
        prepare(load_recipe("smoke", *FROM_NOTHING, change, f"run.output_dir={tmp_path}"))


def test_a_training_from_nothing_has_its_guidance_start_and_optimizer(load_recipe, tmp_path):
    trainer = prepare(load_recipe("smoke", *FROM_NOTHING, f"run.output_dir={tmp_path}"))
    assert trainer.state.guidance.config == GuidanceConfig(1.0, 0.6, 2.0)
    assert isinstance(trainer.state.optimizer, Together)
    cross = trainer.state.model.decoder.image_blocks[0].cross
    assert torch.equal(cross.q.weight, cross.k.weight)


def test_heads_without_weight_do_not_run_in_training(load_recipe, tmp_path):
    pose_only = ("loss.cam_weight=0", "loss.world_weight=0", "loss.rgb_weight=0", "loss.ground_truth_scale=true")
    trainer = prepare(load_recipe("smoke", *pose_only, f"run.output_dir={tmp_path}"))
    assert trainer.step.outputs == Outputs(points_cam=False)
    assert LossConfig().outputs() == Outputs.all()


def test_missing_datasets_can_be_left_out(caplog):
    config = DataConfig(
        samples={SYNTHETIC: 4, "tartanair": 10}, sizes=[[32, 32]], num_views=2, skip_missing=True,
        loader=LoaderConfig(batch_size=2, num_workers=0),
    )  # fmt: skip
    feed = DataFeed(config, PathsConfig(root=Path("nowhere")), ModelConfig())
    assert feed.length(0) == 2
    assert "training without tartanair: there is no folder nowhere/tartanair" in caplog.text


def test_held_out_rooms_are_never_trained_on_and_always_the_same():
    config = DataConfig(
        samples={SYNTHETIC: 2}, sizes=[[16, 16]], num_views=2, loader=LoaderConfig(batch_size=2, num_workers=0)
    )
    config.synthetic.scenes = 2
    config.synthetic.walk = replace(config.synthetic.walk, frames=2, moving=0)
    config.validation.samples, config.validation.size, config.validation.num_views = {SYNTHETIC: 2}, (16, 16), 2
    feed = DataFeed(config, PathsConfig(), ModelConfig())
    (trained,) = feed.batches(0, 0)
    (once,), (again,) = feed.held_out()[SYNTHETIC], feed.held_out()[SYNTHETIC]
    assert bool((once[0].depth == again[0].depth).all())
    assert not any(bool((a == b).all()) for a in once[0].depth for b in trained[0].depth)


def test_the_processes_share_the_held_out_set():
    config = DataConfig(samples={SYNTHETIC: 4}, sizes=[[16, 16]], num_views=1)
    config.loader = LoaderConfig(batch_size=1, num_workers=0)
    config.synthetic.scenes = 4
    config.validation.samples, config.validation.size, config.validation.num_views = {SYNTHETIC: 3}, (16, 16), 1
    shares = [
        [views[0].label[0] for views in feed.held_out()[SYNTHETIC]]
        for feed in (DataFeed(config, PathsConfig(), ModelConfig(), rank=rank, world=2) for rank in range(2))
    ]
    assert (len(shares[0]), len(shares[1])) == (2, 1)
    assert not set(shares[0]) & set(shares[1])


def stages(*curriculum):
    return DataConfig(num_views=4, curriculum=list(curriculum))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: RunConfig(save_epochs=0.0), r"run\.save_epochs is 0"),
        (lambda: RunConfig(device="gpu"), "choose auto, cpu or cuda"),
        (lambda: RunConfig(encoder_only=True), r"run\.pretrained"),
        (lambda: DataConfig(sizes=[]), r"data\.sizes is \[\]"),
        (lambda: TrainConfig(data=DataConfig(sizes=[[230, 224]])), r"\[230, 224\] is not a multiple.*\[224, 224\]"),
        (lambda: CurriculumStage(0), r"until 0 .* must be at least 1"),
        (lambda: CurriculumStage(1, num_views=0), r"num_views 0 .* must be at least 1"),
        (lambda: CurriculumStage(1, motion=0.0), r"motion 0\.0 must be above 0"),
        (lambda: CurriculumStage(1, size=[224]), r"size \[224\]"),
        (lambda: CurriculumStage(1, masks=[1.0, 0.5, 0.0]), r"masks \[1\.0, 0\.5, 0\.0\]"),
        (lambda: stages(CurriculumStage(3, num_views=5)), r"num_views 5 .* above data\.num_views 4"),
        (lambda: stages(CurriculumStage(3), CurriculumStage(3)), r"until \[3, 3\] must rise"),
        (lambda: stages(CurriculumStage(3, motion=0.5)), r"motion.* data\.samples\.synthetic"),
        (
            lambda: TrainConfig(data=stages(CurriculumStage(3, size=[224, 230]))),
            r"\[224, 230\] is not a multiple.*\[224, 224\].*data\.curriculum",
        ),
    ],
)
def test_impossible_settings_are_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()


def test_no_recipe_needs_hydra_to_be_imported_below_the_roof():
    assert not any(name.startswith("hydra") for name in vars(sys.modules["cut3r.training.config"]))
    assert Freeze("encoder") is Freeze.encoder
