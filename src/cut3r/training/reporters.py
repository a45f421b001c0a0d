"""Where the numbers and pictures of a training go: one small protocol, and what stands behind it.

`log.jsonl` (see `monitor`) is always written; TensorBoard and Weights & Biases are asked for in `RunConfig`.
"""

import secrets
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxtyping import UInt8
from torch import Tensor

from cut3r.files.atomic import atomic_path

ID_FILE = "wandb_id"  # in the run's folder: the next start continues the same run


@runtime_checkable
class Reporter(Protocol):
    def numbers(self, kind: str, step: int, values: dict[str, float]) -> None:
        """Take a report: `kind` is "train" or a held-out set. "name/2" is the value of view 2, "name" that of all."""

    def picture(self, name: str, step: int, image: UInt8[Tensor, "h w 3"]) -> None:
        """Take a picture, or leave it."""

    def close(self) -> None:
        """Write what is still to be written."""


class TensorBoard:
    """Curves and pictures in the run's folder; what was told after `step` disappears."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # here, because it takes seconds to import

        self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def numbers(self, kind: str, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{kind}/{name}", value, step)

    def picture(self, name: str, step: int, image: UInt8[Tensor, "h w 3"]) -> None:
        self._writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of a project at wandb.ai, or on disk alone with the environment variable WANDB_MODE=offline.

    The curves' x axis is the training's step: W&B's own only grows, so it would refuse what a resumed run tells again.
    """

    def __init__(self, folder: Path, project: str) -> None:
        wandb = require_wandb()
        self._image = wandb.Image
        self._run = wandb.init(
            project=project,
            dir=str(folder),
            name=folder.name,
            id=_kept_id(folder / ID_FILE),
            resume="allow",
            config=_settings(folder / ".hydra" / "config.yaml"),
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def numbers(self, kind: str, step: int, values: dict[str, float]) -> None:
        self._run.log({"step": step, **{f"{kind}/{name}": value for name, value in values.items()}})

    def picture(self, name: str, step: int, image: UInt8[Tensor, "h w 3"]) -> None:
        self._run.log({"step": step, f"pictures/{name}": self._image(image.cpu().numpy())})

    def close(self) -> None:
        self._run.finish()


def require_wandb() -> Any:
    """Import and return wandb.

    Raises:
        ValueError: It is not installed.
    """
    try:
        import wandb
    except ModuleNotFoundError as error:
        if error.name != "wandb":
            raise
        raise ValueError(
            "run.wandb names a project, but Weights & Biases is not installed: pip install wandb, or run.wandb=null"
        ) from error
    return wandb


def _kept_id(path: Path) -> str:
    if not path.exists():
        with atomic_path(path) as temporary:
            temporary.write_text(secrets.token_hex(4) + "\n")
    return path.read_text().strip()


def _settings(path: Path) -> dict[str, Any] | None:
    """Read the settings that train.py has written down; a training without it has none to show."""
    if not path.is_file():
        return None
    import yaml  # here, because it comes with wandb

    class Plain(yaml.SafeLoader):
        """Reads Hydra's tagged paths and enums as text."""

    def text(loader: Any, tag: str, node: Any) -> str:
        return str(Path(*map(str, loader.construct_sequence(node))))

    Plain.add_multi_constructor("tag:yaml.org,2002:python/object/apply:", text)
    settings: dict[str, Any] = yaml.load(path.read_text(), Plain)
    return settings
