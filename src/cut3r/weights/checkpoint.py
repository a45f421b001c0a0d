"""Networks from files and into files: the official checkpoints, unchanged, and our own format.

Our own format is a safetensors file: the parameters by our names, the configuration as JSON in the header. No file is
trusted: nothing in it is run (`safe_pickle`), nothing is evaluated (`constructor`), and each of its entries must find
its place in the network, and each place its entry.
"""

import json
import math
from dataclasses import asdict
from enum import Enum
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cut3r.files.atomic import atomic_path
from cut3r.files.pages import MappedPages
from cut3r.model.config import (
    DecoderConfig,
    EncoderConfig,
    HeadKind,
    ModelConfig,
    RayDirection,
    StateConfig,
    StatePositions,
    shown,
)
from cut3r.model.network import Cut3r
from cut3r.speed.attention import use_twins
from cut3r.speed.packed import PackedWeightsError, is_packed
from cut3r.speed.precision import fastest_dtype
from cut3r.weights import zoo
from cut3r.weights.constructor import config_from_constructor, constructor_from_config
from cut3r.weights.entries import check_blocks, check_fit, copied, is_plain, refuse_not_finite
from cut3r.weights.file_kind import REMEDY, FileKind, identify
from cut3r.weights.official_names import official_from_ours, ours_from_official
from cut3r.weights.weight_file import WeightFile, describe, read_weight_file

FORMAT, VERSION = "cut3r", "1"
Twin = tuple[str, Tensor, Tensor]  # a second name of a parameter in an official file, its entry, and the first one


def load(
    path_or_name: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> Cut3r:
    """Build the network of a checkpoint, ready for inference.

    Each tensor is copied once, from the mapped file to its place and type, and what was read of the file is given back
    on the way, so memory peaks at the network's own size in `dtype`, not at that of the file. Nothing stays mapped: the
    file may go away (a network disk) or be overwritten without harm to the network.

    Args:
        path_or_name: An official or own checkpoint, or a name of the zoo, such as "512-dpt": it is downloaded once.
        dtype: For the weights of the matrix products; the rest stays in float32 (`Cut3r.to_dtype`). None chooses what
            is fastest on the device.

    Raises:
        FileNotFoundError: Neither such a file nor such a name.
        OSError: The download failed.
        ValueError: The file is damaged, foreign, not fitting, wants to run code, or holds numbers that are not finite
            (also when only the conversion to `dtype` makes them so); or a type that is not supported.
    """
    path = resolve(path_or_name)
    file = read_weight_file(path)
    own = file.metadata.get("format") == FORMAT
    config = _own_config(file, path) if own else _official_config(file, path)
    check_blocks(path, config, file.entries)
    entries, unknown, twins = (file.entries, list[str](), list[Twin]()) if own else _translated(file)
    with torch.device("meta"):  # no memory, no random numbers: every value comes from the file
        model = Cut3r(config)
    dtype = fastest_dtype(device, config.encoder.width) if dtype is None else dtype
    places = model.to_dtype(dtype).state_dict()
    check_fit(path, entries, unknown, places, shown=str if own else _official_name)
    _check_twins(path, twins)
    copies = copied(entries, places, path, device)
    refuse_not_finite(copies, path)
    model.load_state_dict(copies, strict=True, assign=True)
    use_twins(model)
    return model.eval()


def save(model: Cut3r, path: str | Path, *, dtype: torch.dtype | None = None, confidence: float | None = None) -> None:
    """Write the network in our own format; `load` gives it back with the same numbers.

    Args:
        dtype: What the numbers are stored as, such as torch.float16 for half the size, and rounded to; `load` converts
            them back. None keeps them as they are.
        confidence: The confidence above which this network's points are worth showing, for `confidence_threshold`.

    Raises:
        ValueError: `path` does not end in .safetensors, the weights are packed, or `confidence` is no such number.
    """
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"our own format is safetensors, so {path} must end in .safetensors")
    _require_weights(model)
    entries = {name: entry.detach().to("cpu", dtype).contiguous() for name, entry in model.state_dict().items()}
    header = {"format": FORMAT, "version": VERSION, "config": config_to_json(model.config)}
    if confidence is not None:
        header["confidence"] = repr(_threshold(confidence, "confidence"))
    with atomic_path(path) as temporary:
        save_file(entries, temporary, metadata=header)


def confidence_threshold(path_or_name: str | Path) -> float | None:
    """The confidence above which a network's points are worth showing, if its file says so; no tensor is read.

    Raises:
        FileNotFoundError: Neither such a file nor such a name.
        ValueError: The file is damaged or foreign.
    """
    if str(path_or_name) in zoo.OFFICIAL:
        return None
    path = resolve(path_or_name)
    if identify(path) is not FileKind.safetensors:
        return None
    try:
        with safe_open(path, framework="pt") as file:
            told = (file.metadata() or {}).get("confidence")
    except SafetensorError as error:
        raise ValueError(f"{path} is a truncated or damaged safetensors file ({error}); copy it again") from error
    return None if told is None else _threshold(told, f"the confidence in {path}")


def _threshold(value: float | str, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} is {shown(value)}; expected is a number from 0, such as 1.5")
    return number


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
    if is_packed(model):
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
    except (TypeError, AttributeError, KeyError, ValueError, RecursionError) as error:
        what = " ".join(str(error).split())[:300]
        raise ValueError(
            f"the configuration in the file cannot be read: {what}; is it from a later version?"
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
            f"there is no file {path}; it is an official checkpoint: download it with `cut3r models download "
            f"{official}`, or give {official!r} instead of a path, which downloads it once"
        )
    raise FileNotFoundError(
        f"there is no file {path}, and no network of that name; give a path, or one of {', '.join(zoo.NAMES)}"
    )


def _own_config(file: WeightFile, path: Path) -> ModelConfig:
    version = file.metadata.get("version")
    if version != VERSION:
        raise ValueError(
            f"{path} has version {shown(version)} of our format, and this code reads {VERSION!r}: update it"
        )
    try:
        return config_from_json(file.metadata.get("config", ""))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _official_config(file: WeightFile, path: Path) -> ModelConfig:
    if "memory.slots" in file.entries:
        raise ValueError(
            f"{path} holds the weights of a CUT3R network, but not the description of it (the metadata of the file): "
            "another program lost it when it saved them again; load the checkpoint that they came from, put them "
            "into it with its load_state_dict, and write it with cut3r.weights.checkpoint.save"
        )
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


def _translated(file: WeightFile) -> tuple[dict[str, Tensor], list[str], list[Twin]]:
    """Return the entries by our names, the names that have no translation, and second names for one parameter."""
    entries: dict[str, Tensor] = {}
    unknown, twins = [], []
    for name, entry in file.entries.items():
        ours = ours_from_official(name)
        if ours is None:
            unknown.append(name)
        elif ours in entries:
            twins.append((name, entry, entries[ours]))
        else:
            entries[ours] = entry
    return entries, unknown, twins


def _check_twins(path: Path, twins: list[Twin]) -> None:
    pages = MappedPages(path)
    for name, second, first in twins:  # the first has been checked: an equal shape is that of the network
        if second.shape != first.shape or not is_plain(second) or not torch.equal(first, second):
            raise ValueError(f"{path} holds {name} under two names with different values; {REMEDY}")
        pages.release()


def _official_name(ours: str) -> str:
    return official_from_ours(ours)[0]
