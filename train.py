"""Train the network.

    python train.py +smoke                                    two minutes on a CPU, no data needed
    python train.py +stage1 paths.root=/data                  a recipe and whatever you change of it
    accelerate launch train.py +stage2 run.sharding=fsdp      several GPUs; torchrun works too
    python train.py +tiny --multirun optim.lr=1e-4,3e-4       one run per value

The same command continues an interrupted run. Recipes are the files of configs/:
"""

import logging
import os
import re
import signal
import sys
import time
from itertools import takewhile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, SCMode
from omegaconf.errors import OmegaConfBaseException

if TYPE_CHECKING:  # imported when needed: --help answers at once
    from cut3r.training.config import TrainConfig
    from cut3r.training.trainer import Trainer

logger = logging.getLogger("train")

HELP = ("--help", "-h")
CONFIGS = Path(__file__).parent / "configs"
WRONG_SETTINGS = 2
ECHO_S = 3.0  # a launcher passes signals on at once; a person waits longer before the second Ctrl-C


class WrongSettingsError(Exception):
    """Something that the user can put right before the training starts."""


def recipes() -> list[str]:
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def spelled(word: str) -> str:
    """A flag as Hydra knows it, with dashes: --config_name is taken, too."""
    name, equals, value = word.partition("=")
    return f"{name.replace('_', '-')}{equals}{value}" if word.startswith("--") else word


def overview(program: str) -> str:
    """Say what can be trained, with the first sentence of each recipe."""
    text = (__doc__ or "").replace("python train.py", f"python {program}" if program.endswith(".py") else program)
    lines = [f"  +{name:<22} {_about(name)}" for name in recipes()]
    more = f"{program} +RECIPE --help lists the settings of one, which may be changed as name=value."
    return "\n".join([f"usage: {program} +RECIPE [setting=value ...]", "", text, *lines, "", more])


def _about(recipe: str) -> str:
    """The first sentence of the comment above a recipe."""
    lines = (CONFIGS / f"{recipe}.yaml").read_text(encoding="utf-8").splitlines()
    comment = " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))
    return re.split(r"(?<=[.?:])\s", comment)[0].rstrip(".:")


def with_config_name(arguments: list[str]) -> list[str]:
    """Turn `+NAME` (or `+recipe=NAME`) into Hydra's --config-name; anything else is left as it is.

    Raises:
        WrongSettingsError: No recipe of that name, or none at all.
    """
    for position, argument in enumerate(arguments):
        if found := re.fullmatch(r"\+(?:recipe=)?(\w+)", argument):
            name = found[1]
            if name not in recipes():
                raise WrongSettingsError(f"there is no recipe {name!r}; there are {', '.join(recipes())}")
            return [*arguments[:position], "--config-name", name, *arguments[position + 1 :]]
    if not any(argument.startswith(("--config-name", "-cn", "--help", "-h")) for argument in arguments):
        raise WrongSettingsError(f"name a recipe, such as `python train.py +smoke`; there are {', '.join(recipes())}")
    return arguments


def settings_in_quotes(arguments: list[str]) -> list[str]:
    """Let names and folders stand as they are, whatever characters they hold.

    Raises:
        WrongSettingsError: One of them is empty.
    """
    from cut3r.training.config import TrainConfig
    from cut3r.training.overrides import quote_text_settings

    try:
        return quote_text_settings(arguments, TrainConfig)
    except ValueError as error:
        raise WrongSettingsError(str(error)) from error


def settings(config: DictConfig) -> "TrainConfig":
    """Make the merged YAML real; whatever a dataclass does not accept is refused here."""
    from cut3r.training.config import TrainConfig, build

    plain = OmegaConf.to_container(config, resolve=True, structured_config_mode=SCMode.DICT)
    return build(TrainConfig, plain)


@hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=None)
def run(config: DictConfig) -> None:
    from cut3r.training.start import prepare

    try:
        made = settings(config)
        if HydraConfig.get().mode is RunMode.MULTIRUN:  # a folder for each run
            made.run.output_dir = Path(HydraConfig.get().runtime.output_dir)
        trainer = prepare(made)
    except (ValueError, FileNotFoundError) as error:
        raise WrongSettingsError(str(error)) from error
    _end_politely(trainer)
    trainer.fit()


def main(words: list[str] | None = None, program: str = "train.py") -> None:
    """Train with the settings of the command line; wrong ones end the program with a sentence.

    Args:
        words: In the place of those of the command line.
        program: The name that it was called by: `cut3r train` is the same.
    """
    if words is not None:
        sys.argv = [program, *words]  # where Hydra reads them
    sys.argv[1:] = [spelled(word) for word in sys.argv[1:]]
    if any(word in HELP for word in sys.argv[1:]) and not any(word.startswith("+") for word in sys.argv[1:]):
        print(overview(program))
        return
    from cut3r.training.config import TrainConfig, explain

    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors through, to be explained here
    ConfigStore.instance().store(name="schema", node=TrainConfig)
    try:
        sys.argv[1:] = settings_in_quotes(with_config_name(sys.argv[1:]))
        run()
    except (HydraException, OmegaConfBaseException, WrongSettingsError) as error:
        logger.debug("refused", exc_info=True)
        print(f"{program}: {explain(error, TrainConfig)}", file=sys.stderr)
        sys.exit(WRONG_SETTINGS)


def _end_politely(trainer: "Trainer") -> None:
    """On SIGTERM (Slurm sends it before it takes a machine away) and Ctrl-C: finish the step, save, end.

    The second Ctrl-C is obeyed at once. But launchers pass on what their processes have got already, so one that
    follows closely is the same wish; and after SIGTERM whoever is in a hurry sends SIGKILL.
    """
    first: list[float] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if not first:
            logger.warning("%s: ending after this step", signal.Signals(number).name)
            trainer.stop_requested = True
            first.append(time.monotonic())
        elif number == signal.SIGINT and time.monotonic() - first[0] > ECHO_S:
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


if __name__ == "__main__":
    main()
