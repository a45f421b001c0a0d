"""Everything that a training run can be told, as plain dataclasses. `train.py` fills them from YAML."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, is_dataclass
from difflib import get_close_matches
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

from cut3r.model.config import ModelConfig
from cut3r.training.data_config import DataConfig, PathsConfig
from cut3r.training.freeze import Freeze
from cut3r.training.lora import LoraConfig
from cut3r.training.loss_config import LossConfig
from cut3r.training.optim import OptimConfig
from cut3r.training.overrides import unreadable_setting
from cut3r.training.parallel import Sharding
from cut3r.training.precision import Precision
from cut3r.training.rollout import RolloutConfig

REFUSED = re.compile(  # by OmegaConf
    r"(?:Invalid value '(?P<value>[^']*)', expected one of \[(?P<choices>[^]]*)\]"
    r"|Value '(?P<other>[^']*)' of type '\w+' could not be converted to (?P<kind>Integer|Float))"
    r"\s+full_key: (?P<name>\S+)"
)
KINDS = {"Integer": "a whole number", "Float": "a number"}


class Start(Enum):
    """First weights of a network that learns from nothing."""

    published = "published"
    own_place = "own_place"  # `cut3r.training.own_place.start_at_own_place`: the state begins by copying the first view


@dataclass
class RunConfig:
    """One run: where it writes, how it starts, when it saves, tells and stops.

    A run that finds training states in `output_dir` continues from the newest; `resume` names another one.
    `gradient_checkpointing` forgets activations and computes them again; with `keep_products` only those that are cheap
    to compute. `compile` compiles the network's blocks, which takes a minute at the first batch of each shape.
    `teacher` is a network (a file or a name of the zoo) whose predictions for `data.footage` are the truth.
    `train_only` (patterns of parameter names) and `lora` say what learns of what `freeze` leaves.
    `pretrained` gives a new run its first weights (`encoder_only`: the encoders alone, with their norms). Intervals
    named `..._epochs` may be fractions: 0.1 saves ten times per epoch. `max_minutes` counts this start of the run
    only: it ends with a training state, and the same command goes on from there.
    """

    output_dir: Path = Path("runs/unnamed")
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda
    threads: int | None = None  # of the CPU, for each process; small networks gain nothing from many
    precision: Precision = Precision.bf16
    sharding: Sharding = Sharding.ddp
    gradient_checkpointing: bool = False
    keep_products: bool = False
    compile: bool = False
    cudnn_benchmark: bool = True
    freeze: Freeze = Freeze.none
    train_only: list[str] = field(default_factory=list)
    lora: LoraConfig = field(default_factory=LoraConfig)
    start: Start = Start.published
    teacher: Path | None = None
    pretrained: Path | None = None
    encoder_only: bool = False
    resume: Path | None = None
    save_epochs: float = 1.0
    keep_last: int = 2
    keep_epochs: int = 10  # weights of every n-th epoch stay
    export_official: bool = False  # the final weights also in the format of the original code
    validate_epochs: int = 1
    print_every: int = 10  # iterations, as the next one
    picture_every: int = 500
    pictures: int = 4
    tensorboard: bool = True
    wandb: str | None = None  # a project of Weights & Biases, which has to be installed
    max_steps: int | None = None
    max_minutes: float | None = None

    def __post_init__(self) -> None:
        for name in ("save_epochs", "keep_last", "keep_epochs", "validate_epochs", "print_every", "picture_every"):
            if getattr(self, name) <= 0:
                raise ValueError(f"run.{name} is {getattr(self, name)} and must be above 0; a huge number means never")
        if self.device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"run.device is {self.device!r}; choose auto, cpu or cuda")
        if self.encoder_only and self.pretrained is None:
            raise ValueError("run.encoder_only loads a part of run.pretrained, which is not given")
        if self.start is Start.own_place and self.pretrained is not None and not self.encoder_only:
            raise ValueError("run.start=own_place is for a decoder without weights; leave out start or run.pretrained")


@dataclass
class TrainConfig:
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    run: RunConfig = field(default_factory=RunConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)

    def __post_init__(self) -> None:
        patch = self.model.patch_size
        sizes = [size for stage in self.data.stages() for size in stage.sizes]
        for size in (*sizes, self.data.validation.size):
            if any(side % patch for side in size):
                nearest = [max(1, round(side / patch)) * patch for side in size]
                raise ValueError(
                    f"size {list(size)} is not a multiple of model.patch_size {patch}; the nearest is {nearest}, set "
                    "data.sizes, data.validation.size and the sizes in data.curriculum"
                )


def build(kind: Any, value: Any, path: str = "", *, whole: Any = None) -> Any:
    """Make `kind`, a dataclass, out of plain containers with one entry per field; lists become tuples where it says so.

    Args:
        whole: The dataclass that `path` begins in; `kind` itself by default.

    Raises:
        ValueError: An entry that the dataclass has no field for, or a value that it refuses.
    """
    whole = whole or kind
    if value is not None and get_origin(kind) is UnionType:  # it or None
        kind = next(one for one in get_args(kind) if one is not NoneType)
    if isinstance(kind, type) and is_dataclass(kind):
        make, hints = cast(Any, kind), get_type_hints(kind)
        for name in value:
            if name not in hints:
                raise ValueError(unknown_setting(f"{path}{name}", whole))
        fields = {name: build(hints[name], inner, f"{path}{name}.", whole=whole) for name, inner in value.items()}
        return make(**fields)
    if get_origin(kind) is dict:
        return {name: build(get_args(kind)[1], inner, f"{path}{name}.", whole=whole) for name, inner in value.items()}
    if get_origin(kind) is list:
        return [build(get_args(kind)[0], inner, path, whole=whole) for inner in value]
    return tuple(value) if get_origin(kind) is tuple else value


def explain(error: BaseException, kind: Any) -> str:
    """Say what Hydra or OmegaConf found wrong with the settings of `kind`, and for a wrong name, what was probably
    meant."""
    causes = [error] if error.__cause__ is None else [error, error.__cause__]
    text = ": ".join(dict.fromkeys(str(cause).strip() for cause in causes))
    if found := re.search(
        r"Key '[^']+' (?:is )?not in .*?full_key: (\S+)|Could not override '([^']+)'", text, re.DOTALL
    ):
        return unknown_setting(found[1] or found[2], kind)
    if found := REFUSED.search(text):
        right = f"choose from {found['choices']}" if found["choices"] else f"expected {KINDS[found['kind']]}"
        return f"{found['name']} is '{found['value'] or found['other']}'; {right}"
    override = getattr(error, "override", None)  # of Hydra's parser
    return text if override is None else unreadable_setting(override)


def unknown_setting(name: str, kind: Any) -> str:
    """Say that there is no such setting, and which there are of a similar name."""
    close = get_close_matches(name, list(_names(kind)), n=3)
    meant = f"did you mean {' or '.join(repr(other) for other in close)}?" if close else "see configs/ for all of them"
    return f"there is no setting {name!r}, {meant}"


def _names(kind: Any, prefix: str = "") -> Iterator[str]:
    for name, hint in get_type_hints(kind).items():
        yield f"{prefix}{name}"
        if is_dataclass(hint):
            yield from _names(hint, f"{prefix}{name}.")
