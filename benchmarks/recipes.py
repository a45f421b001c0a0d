"""The recipes of configs/ as settings, the way `train.py` reads them."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from cut3r.training.config import TrainConfig

CONFIGS = Path(__file__).parents[1] / "configs"


def recipe(name: str, changes: list[str]) -> TrainConfig:
    """Read a recipe; `changes` are as on the command line of train.py, such as data.loader.batch_size=4.

    Raises what train.py explains: HydraException, OmegaConfBaseException, ValueError.
    """
    ConfigStore.instance().store(name="schema", node=TrainConfig)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        settings = OmegaConf.to_object(compose(name, changes))
    assert isinstance(settings, TrainConfig)
    return settings


def stages(config: TrainConfig) -> list[TrainConfig]:
    """List the stages of a recipe's curriculum, each as a recipe of its own; a recipe without one has one."""
    return [replace(config, data=data) for data in config.data.stages()]


def with_batches(config: TrainConfig, batches: int) -> TrainConfig:
    """Copy a recipe with so many batches (or more) in an epoch."""
    config = deepcopy(config)
    data = config.data
    times = -(-batches * data.loader.batch_size // sum(data.samples.values()))
    data.samples = {name: times * count for name, count in data.samples.items()}
    return config
