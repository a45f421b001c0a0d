"""Words of the command line become an EvalConfig: name=value by Hydra's grammar, text and folders as they stand."""

from hydra import compose, initialize
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import OmegaConf, SCMode
from omegaconf.errors import OmegaConfBaseException

from cut3r.training.config import build, explain
from cut3r.training.overrides import quote_text_settings
from eval.config import EvalConfig

SCHEMA = "evaluation"


class WrongSettingsError(ValueError):
    """Something that the user can put right before the first frame."""


def read_settings(words: list[str]) -> EvalConfig:
    """Make the settings real.

    Raises:
        WrongSettingsError: A name, a value or a combination that there is not; one sentence says what is right.
    """
    flags = [word for word in words if word.startswith("-")]
    if flags:
        raise WrongSettingsError(f"{flags[0]} is no setting; settings are name=value, and --help lists them")
    ConfigStore.instance().store(name=SCHEMA, node=EvalConfig)
    try:
        with initialize(config_path=None, version_base="1.3"):
            config = compose(SCHEMA, quote_text_settings(words, EvalConfig))
        plain = OmegaConf.to_container(config, resolve=True, structured_config_mode=SCMode.DICT)
        made: EvalConfig = build(EvalConfig, plain)
    except (HydraException, OmegaConfBaseException) as error:
        raise WrongSettingsError(explain(error, EvalConfig)) from error
    except ValueError as error:
        raise WrongSettingsError(str(error)) from error
    return made
