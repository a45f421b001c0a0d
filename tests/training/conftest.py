"""What tests of training share."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra

from cut3r.training.config import TrainConfig
from train import settings

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def load_recipe():
    """Give the settings of a recipe, with changes as on the command line."""
    ConfigStore.instance().store(name="schema", node=TrainConfig)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        yield lambda name, *overrides: settings(compose(name, overrides=list(overrides)))
