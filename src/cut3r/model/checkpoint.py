"""Networks from files and into files: the official checkpoints, unchanged, and our own format.

Our own format is a safetensors file: the parameters by our names, the configuration as JSON in the header. No file is
trusted: nothing in it is run (`safe_pickle`), nothing is evaluated (`constructor`), and each of its entries must find
its place in the network, and each place its entry.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from enum import Enum
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from cut3r.files.atomic import atomic_path
from cut3r.model import zoo
from cut3r.model.config import (
    DecoderConfig,
    EncoderConfig,
    HeadKind,
    ModelConfig,
    RayDirection,
    StateConfig,
    StatePositions,
)
from cut3r.model.constructor import config_from_constructor, constructor_from_config
from cut3r.model.file_kind import REMEDY
from cut3r.model.network import Cut3r
from cut3r.model.official_names import official_from_ours, ours_from_official
from cut3r.model.packed import PackedWeightsError
from cut3r.model.speed import fastest_dtype
from cut3r.model.weight_file import WeightFile, describe, read_weight_file

FORMAT, VERSION = "cut3r", "1"


def load(
    path_or_name: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> Cut3r:
    """Build the network of a checkpoint, ready for inference.

    Each tensor is copied once, from the mapped file to its place and type, so memory peaks at the network's own size
    beside pages of the file that the system can drop. Nothing stays mapped: the file may go away (a network disk) or be
    overwritten without harm to the network.

    Args:
        path_or_name: An official or own checkpoint, or a name of the zoo, such as "512-dpt": it is downloaded once.
        dtype: For the weights of the matrix products; the rest stays in float32 (`Cut3r.to_dtype`). None chooses what
            is fastest on the device.

    Raises:
        FileNotFoundError: Neither such a file nor such a name.
        OSError: The download failed.
        ValueError: The file is damaged, foreign, not fitting or wants to run code; or a type that is not supported.
    """
    path = resolve(path_or_name)
    file = read_weight_file(path)
    own = file.metadata.get("format") == FORMAT
    config = _own_config(file, path) if own else _official_config(file, path)
    entries, unknown = (file.entries, list[str]()) if own else _translated(file, path)
    with torch.device("meta"):  # no memory, no random numbers: every value comes from the file
        model = Cut3r(config)
    dtype = fastest_dtype(device, config.encoder.width) if dtype is None else dtype
    places = model.to_dtype(dtype).state_dict()
    _check_fit(path, entries, unknown, places, shown=str if own else _official_name)
    copies = {name: entries[name].to(device, place.dtype, copy=True) for name, place in places.items()}
    model.load_state_dict(copies, strict=True, assign=True)
    return model.eval()


def save(model: Cut3r, path: str | Path, *, dtype: torch.dtype | None = None) -> None:
    """Write the network in our own format; `load` gives it back with the same numbers.

    Args:
        dtype: What the numbers are stored as, such as torch.float16 for half the size, and rounded to; `load` converts
            them back. None keeps them as they are.

    Raises:
        ValueError: `path` does not end in .safetensors, or the weights are packed.
    """
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"our own format is safetensors, so {path} must end in .safetensors")
    _require_weights(model)
    entries = {name: entry.detach().to("cpu", dtype).contiguous() for name, entry in model.state_dict().items()}
    header = {"format": FORMAT, "version": VERSION, "config": config_to_json(model.config)}
    with atomic_path(path) as temporary:
        save_file(entries, temporary, metadata=header)


def export_official(model: Cut3r, path: str | Path) -> None:
    """Write the network under the official names, in float32, as a file that the original code can load.

    Raises:
        ValueError: The configuration has something that official files cannot say, or the weights are packed.
    """
    from omegaconf import OmegaConf  # what `args` is in the official files; reading them does not need it

    _require_weights(model)
    args = OmegaConf.create({"model": constructor_from_config(model.config)})
    entries = {}
    for name, entry in model.state_dict().items():
        exported = entry.detach().cpu().float()
        entries.update(dict.fromkeys(official_from_ours(name), exported))  # two names, one tensor
    with atomic_path(path) as temporary:
        torch.save({"args": args, "model": entries, "epoch": 0}, temporary)


def _require_weights(model: Cut3r) -> None:
    if model.is_packed:
        raise PackedWeightsError("the weights are packed and cannot be saved: load the network in float32 for that")


def config_to_json(config: ModelConfig) -> str:
    def value(entry: Enum) -> str:
        return entry.value

    return json.dumps(asdict(config), default=value)


def config_from_json(text: str) -> ModelConfig:
    """Read what `config_to_json` wrote.

    Raises:
        ValueError: It is no such text, or of a later version with other settings.
    """
    try:
        settings = json.loads(text)
        state = settings.pop("state")
        return ModelConfig(
            head=HeadKind(settings.pop("head")),
            ray_direction=RayDirection(settings.pop("ray_direction")),
            image_size=tuple(settings.pop("image_size")),
            dpt_stages=tuple(settings.pop("dpt_stages")),
            encoder=EncoderConfig(**settings.pop("encoder")),
            decoder=DecoderConfig(**settings.pop("decoder")),
            state=StateConfig(positions=StatePositions(state.pop("positions")), **state),
            **settings,
        )
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise ValueError(
            f"the configuration in the file cannot be read: {error}; is it from a later version?"
        ) from error


def resolve(path_or_name: str | Path) -> Path:
    """Give the file that a path or a name of the zoo stands for, after downloading it if needed; raises as `load`."""
    path, name = Path(path_or_name).expanduser(), str(path_or_name)
    if path.is_file():
        return path
    if name in zoo.NAMES:
        return zoo.obtain(name)
    if path.exists():
        raise FileNotFoundError(f"{path} is a folder, and a checkpoint is a single file: name the file inside it")
    official = zoo.name_of_file(path.name)
    if official is not None:
        raise FileNotFoundError(
            f"there is no file {path}; it is an official checkpoint: download it with `python -m cut3r.model.zoo "
            f"{official}`, or give {official!r} instead of a path, which downloads it once"
        )
    raise FileNotFoundError(
        f"there is no file {path}, and no network of that name; give a path, or one of {', '.join(zoo.NAMES)}"
    )


def _own_config(file: WeightFile, path: Path) -> ModelConfig:
    version = file.metadata.get("version")
    if version != VERSION:
        raise ValueError(f"{path} has version {version!r} of our format, and this code reads {VERSION!r}: update it")
    try:
        return config_from_json(file.metadata.get("config", ""))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _official_config(file: WeightFile, path: Path) -> ModelConfig:
    if "pose_retriever.mem" not in file.entries:
        raise ValueError(f"{path} is no checkpoint of CUT3R: it holds {describe(file.entries)}; {REMEDY}")
    if file.constructor is None:
        raise ValueError(
            f"{path} holds {describe(file.entries)} without the description of the network in args.model; {REMEDY}"
        )
    try:
        return config_from_constructor(file.constructor)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _translated(file: WeightFile, path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Return the entries by our names, and the names that have no translation."""
    entries: dict[str, Tensor] = {}
    unknown = []
    for name, entry in file.entries.items():
        ours = ours_from_official(name)
        if ours is None:
            unknown.append(name)
        elif ours in entries and not torch.equal(entries[ours], entry):
            raise ValueError(f"{path} holds {name} under two names with different values; {REMEDY}")
        else:
            entries[ours] = entry
    return entries, unknown


def _official_name(ours: str) -> str:
    return official_from_ours(ours)[0]


def _check_fit(
    path: Path,
    entries: dict[str, Tensor],
    unknown: list[str],
    places: dict[str, Tensor],
    shown: Callable[[str], str],
) -> None:
    """Refuse entries that are not exactly `places`, naming them as the file does, through `shown`."""
    problems = {
        "missing": [shown(name) for name in places if name not in entries],
        "unexpected": [*unknown, *(shown(name) for name in entries if name not in places)],
        "of another shape": [
            f"{shown(name)} {list(entries[name].shape)} instead of {list(place.shape)}"
            for name, place in places.items()
            if name in entries and entries[name].shape != place.shape
        ],
        "without floating-point numbers": [
            shown(name)
            for name, entry in entries.items()
            if not entry.is_floating_point() or entry.layout != torch.strided
        ],
    }
    found = [
        f"{len(names)} {problem} ({'; '.join(names[:5])}{'; ...' if len(names) > 5 else ''})"
        for problem, names in problems.items()
        if names
    ]
    if found:
        raise ValueError(
            f"{path} does not fit the network that it describes: of {len(places)} parameters {', '.join(found)}; "
            f"it may be damaged or changed by another program; {REMEDY}"
        )
