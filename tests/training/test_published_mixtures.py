"""The six published recipes on processed folders in miniature: every dataset opens, with the published counts, and a
small network takes two steps on the mixture."""

import zipfile
from itertools import islice

import pytest
import torch
from accelerate import Accelerator

from cut3r.data.datasets import PROCESSED
from cut3r.training.config import RunConfig
from cut3r.training.feed import DataFeed, MissingDatasetsError
from cut3r.training.losses import ReconstructionLoss, ValidationLoss
from cut3r.training.optim import OptimConfig
from cut3r.training.rollout import RolloutConfig
from cut3r.training.trainer import Trainer
from tests.data.datasets.recorded import GOLDEN
from tests.training.fake_feed import small_network
from tests.training.test_config import RECIPES

STEPS = 2


@pytest.fixture(scope="module")
def tree(tmp_path_factory, load_recipe):
    """All processed folders that were recorded, where the recipes look for them."""
    root = tmp_path_factory.mktemp("data")
    for slug, folder in load_recipe("stage3").paths.folders.items():
        if (GOLDEN / slug / "processed.zip").is_file():
            with zipfile.ZipFile(GOLDEN / slug / "processed.zip") as archive:
                archive.extractall(root / folder)
    return root


@pytest.fixture
def miniature(load_recipe):
    """Give a recipe with the published counts, for scenes of a few small pictures."""

    def load(name, root, *more):
        config = load_recipe(name, f"paths.root={root}", "data.num_views=3", "data.sizes=[[32,32]]", *more)
        config.data.loader.batch_size, config.data.loader.num_workers, config.data.loader.min_views = 2, 0, 3
        config.data.validation.samples = {}
        config.data.aug_crop = 4
        return config

    return load


class Short(DataFeed):
    """The first batches of an epoch."""

    def length(self, epoch: int) -> int:
        return STEPS

    def batches(self, epoch: int, start: int):
        return islice(super().batches(epoch, start), STEPS - start)


@pytest.mark.parametrize("name", RECIPES)
def test_a_published_recipe_builds_its_mixture_and_takes_two_steps(name, tree, miniature, tmp_path):
    published = {slug for slug, count in miniature(name, tree).data.samples.items() if count}
    whole = published <= set(PROCESSED)
    config = miniature(name, tree, *([] if whole else ["data.skip_missing=true"]))
    feed = Short(config.data, config.paths, config.model)
    wanted = {slug: count for slug, count in config.data.samples.items() if count and slug in PROCESSED}
    assert feed.samples == wanted
    assert len(feed._loaders[0].source) == sum(wanted.values())
    model = small_network()
    run = RunConfig(output_dir=tmp_path, device="cpu", tensorboard=False, print_every=1)
    optim = OptimConfig(lr=1e-4, epochs=1, warmup_epochs=0.0)
    losses = ReconstructionLoss(config.loss), ValidationLoss()
    trainer = Trainer(
        model, feed, *losses, optim=optim, rollout=RolloutConfig(), run=run, accelerator=Accelerator(cpu=True)
    )
    first = {key: value.clone() for key, value in model.state_dict().items()}
    trainer.fit()
    assert trainer.progress.step == STEPS and trainer.progress.skipped == 0
    assert any(not torch.equal(first[key], value) for key, value in trainer.state.model.state_dict().items())


def test_what_is_missing_is_said_in_one_sentence_per_dataset(tree, miniature, tmp_path, caplog):
    config = miniature("stage2", tmp_path)
    with pytest.raises(MissingDatasetsError) as refusal:
        DataFeed(config.data, config.paths, config.model)
    for slug, count in config.data.samples.items():
        assert (f"{slug}: there is no" in str(refusal.value)) == (count > 0)
    config = miniature("stage2", tree, "data.skip_missing=true", "paths.folders.co3d=nowhere")
    feed = DataFeed(config.data, config.paths, config.model)
    assert "co3d" not in feed.samples and "training without co3d: there is no folder" in caplog.text
    assert f"the mixture is now {sum(feed.samples.values())} samples" in caplog.text
