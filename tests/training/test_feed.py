"""What the feed hands to the network: inputs as the recipe says, a curriculum, the same held-out samples every time."""

from dataclasses import replace
from pathlib import Path

import pytest

from cut3r.data.datasets import DATASETS
from cut3r.data.loader import LoaderConfig
from cut3r.data.sampling import MaskProbabilities
from cut3r.model.config import ModelConfig
from cut3r.training.data_config import SYNTHETIC, CurriculumStage, DataConfig, PathsConfig
from cut3r.training.feed import DataFeed, MissingDatasetsError, available, reader_of
from tests.data.toy_dataset import Toy, Walker


def rooms(**options) -> DataConfig:
    """Two views of 16 x 16 pixels from walks of four frames; eight of them are an epoch."""
    loader = LoaderConfig(batch_size=2, num_workers=0, fixed_length=True)
    config = DataConfig(
        **{"samples": {SYNTHETIC: 8}, "sizes": [[16, 16]], "num_views": 2, "aug_crop": 0, "color_jitter": False}
        | {"loader": loader}
        | options
    )
    config.synthetic.scenes = 2
    config.synthetic.walk = replace(config.synthetic.walk, frames=4)
    config.validation.size, config.validation.num_views = (16, 16), 2
    config.validation.samples = {SYNTHETIC: 8}
    return config


def feed(config: DataConfig, **options) -> DataFeed:
    return DataFeed(config, PathsConfig(root=Path("nowhere")), ModelConfig(), **options)


def shown(batches):
    """Tell (image, rays) of the views after the first."""
    pairs = set()
    for views in batches:
        for view in views[1:]:
            pairs |= set(zip(view.has_image.tolist(), view.has_rays.tolist(), strict=True))
    return pairs


@pytest.mark.parametrize(
    ("masks", "inputs"),
    [
        ([1.0, 0.0, 0.0], {(True, False)}),
        ([0.0, 1.0, 0.0], {(False, True)}),
        ([0.0, 0.0, 1.0], {(True, True)}),
        (None, {(True, False), (False, True), (True, True)}),
    ],
)
def test_the_recipe_says_what_the_network_is_given(masks, inputs):
    training = feed(rooms(masks=masks))
    assert shown(batch for epoch in range(3) for batch in training.batches(epoch, 0)) == inputs


def test_held_out_views_never_come_with_their_camera():
    held_out = feed(rooms(masks=[0.0, 0.0, 1.0])).held_out()[SYNTHETIC]
    assert shown(held_out) == {(True, False)}


def test_masks_do_not_change_which_frames_are_drawn():
    (images, *_), (rays, *_) = (feed(rooms(masks=m)).batches(0, 0) for m in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]))
    assert [view.label for view in images] == [view.label for view in rays]


@pytest.mark.parametrize("masks", [[0.8, 0.1, 0.2], [1.1, -0.1, 0.0]])
def test_masks_must_be_shares_of_one(masks):
    with pytest.raises(ValueError, match="shares of image, rays and both"):
        MaskProbabilities(*masks)
    with pytest.raises(ValueError, match="shares of image, rays and both"):
        rooms(masks=masks)


def seen(training, epoch):
    """Views, samples and size of the first batch of an epoch, and how far the second view is from the first."""
    views = next(training.batches(epoch, 0))
    distance_m = float(views[1].world_from_cam[0, :3, 3].norm())
    return len(views), len(views[0].label), views[0].size, distance_m


def test_a_stage_of_the_curriculum_changes_what_it_names_until_its_epoch():
    slow = CurriculumStage(2, num_views=2, batch_size=4, motion=0.05, size=[32, 16])
    fast = CurriculumStage(3, motion=4.0)
    training = feed(rooms(num_views=3, curriculum=[slow, fast]))
    first, second, third, fourth = (seen(training, epoch) for epoch in (0, 1, 2, 3))
    assert first[:3] == second[:3] == (2, 4, (32, 16))
    assert third[:3] == fourth[:3] == (3, 2, (16, 16)), (
        "what the stage does not name, and what follows, is the recipe's"
    )
    assert first[3] < 0.05 and third[3] > 2 * fourth[3]
    assert [training.length(epoch) for epoch in (0, 2, 3)] == [2, 4, 4]
    assert [training.batch_size(epoch) for epoch in (0, 2, 3)] == [4, 2, 2]


def test_a_stage_has_inputs_of_its_own():
    training = feed(rooms(masks=[1.0, 0.0, 0.0], curriculum=[CurriculumStage(1, masks=[0.0, 1.0, 0.0])]))
    assert shown(training.batches(0, 0)) == {(False, True)}
    assert shown(training.batches(1, 0)) == {(True, False)}


def test_the_curriculum_rules_every_dataset_of_the_mixture(monkeypatch):
    monkeypatch.setitem(DATASETS, "toy", Toy)
    stage = CurriculumStage(1, num_views=2, batch_size=3, size=[16, 32])
    config = rooms(samples={"toy": 6}, num_views=4, masks=[0.0, 0.0, 1.0], curriculum=[stage])
    config.validation.samples = {}
    training = DataFeed(config, PathsConfig(folders={"toy": Path(__file__).parent}), ModelConfig())
    assert seen(training, 0)[:3] == (2, 3, (16, 32))
    assert seen(training, 1)[:3] == (4, 2, (16, 16))
    assert shown(training.batches(0, 0)) == {(True, True)}


class Broken(Walker):
    def __init__(self, root=None, **options):
        super().__init__(root, broken=[f"scene0/{frame}" for frame in (3, 7)], **options)


def with_broken_frames(monkeypatch, **options) -> DataFeed:
    monkeypatch.setitem(DATASETS, "toy", Broken)
    config = rooms(samples={"toy": 8}, num_views=4, **options)
    config.validation.samples = {"toy": 8}
    return DataFeed(config, PathsConfig(folders={"toy": Path(__file__).parent}), ModelConfig())


def test_the_log_counts_what_could_not_be_read_in_an_epoch(monkeypatch, caplog):
    training = with_broken_frames(monkeypatch)
    for epoch in (0, 1):
        list(training.batches(epoch, 0))
    first, second = (text for text in caplog.messages if "could not be read" in text)
    count = int(first.split("epoch 0: ")[1].split()[0])
    assert count > 0 and "beside 32 that were" in first and f"{count} since the start" in first
    assert second.startswith("training, epoch 1: ")
    caplog.clear()
    list(training.held_out()["toy"])
    assert any(text.startswith("held-out toy: ") and "beside 16 that were" in text for text in caplog.messages)


def test_an_epoch_that_is_left_early_tells_too(monkeypatch, caplog):
    batches = with_broken_frames(monkeypatch).batches(0, 2)
    for _ in range(2):
        next(batches)
    batches.close()
    assert any("beside 16 that were" in text for text in caplog.messages)


def test_nothing_is_told_of_data_that_are_whole(caplog):
    list(feed(rooms()).batches(0, 0))
    assert not caplog.messages


def test_a_stage_goes_on_in_the_middle_of_an_epoch():
    config = rooms(curriculum=[CurriculumStage(1, batch_size=4), CurriculumStage(2, num_views=1)])
    labels = [views[0].label for views in feed(config).batches(1, 0)]
    assert [views[0].label for views in feed(config).batches(1, 2)] == labels[2:] != []


def test_a_stage_whose_batches_are_too_large_is_refused_at_the_start():
    with pytest.raises(ValueError, match="8 samples per epoch do not fill one batch of 16"):
        feed(rooms(curriculum=[CurriculumStage(1), CurriculumStage(2, batch_size=16)]))


def test_a_reader_of_ones_own_is_imported_by_its_address(tmp_path):
    config = DataConfig(samples={"mine": 3}, sizes=[[24, 32]], readers={"mine": "tests.data.toy_dataset:Walker"})
    paths = PathsConfig(tmp_path, {"mine": Path()})
    assert reader_of("mine", config).__name__ == "Walker"
    assert available(config.samples, config, paths) == {"mine": 3}
    config.readers["mine"] = "tests.data.toy_dataset:Absent"
    with pytest.raises(MissingDatasetsError, match=r"'tests\.data\.toy_dataset:Absent' cannot be imported"):
        available(config.samples, config, paths)
    config.readers["mine"] = "pathlib:Path"
    with pytest.raises(MissingDatasetsError, match=r"pathlib:Path is no class of cut3r\.data\.dataset"):
        available(config.samples, config, paths)


def test_only_datasets_of_a_known_unit_are_read_in_metres():
    config = DataConfig(samples={SYNTHETIC: 8}, metric=["co3d"])
    with pytest.raises(ValueError, match=r"co3d, which is in metres already, or .* for mvs_synth, omniobject3d"):
        available(config.samples, config, PathsConfig())
    config.metric = ["omniobject3d", "mvs_synth"]
    assert available(config.samples, config, PathsConfig()) == {SYNTHETIC: 8}
