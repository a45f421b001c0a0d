"""A network's weights in several files of limited size, each complete or not there; `join` makes one file of them.

For machines that bring back only small files. A file is first written in a folder beside the one that is brought back,
and renamed into it.

    python -m cut3r.weights.parts runs/gpu/ema tiny.safetensors       joins ema-0.safetensors, ema-1.safetensors, ...
"""

import argparse
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from cut3r.files.atomic import atomic_path
from cut3r.model.config import ModelConfig
from cut3r.model.network import Cut3r
from cut3r.weights.checkpoint import config_from_json, config_to_json, save
from cut3r.weights.weight_file import read_safetensors

FORMAT = "cut3r part"
LARGEST = 16 * 2**20  # bytes of a file


@contextmanager
def renamed_into(path: Path, scratch: Path) -> Iterator[Path]:
    """Yield a path in `scratch`, which should be on the same disk; what is written there becomes `path` when the block
    ends well. From another disk it is copied to a hidden name beside `path` first."""
    temporary = scratch / path.name
    try:
        with atomic_path(temporary) as unfinished:
            yield unfinished
        if temporary.stat().st_dev == path.parent.stat().st_dev:
            temporary.replace(path)
        else:
            with atomic_path(path) as beside:
                shutil.copyfile(temporary, beside)
    finally:
        temporary.unlink(missing_ok=True)


def write_parts(
    entries: Mapping[str, Tensor],
    config: ModelConfig,
    stem: Path,
    scratch: Path,
    *,
    moment: int,
    largest: int = LARGEST,
) -> list[Path]:
    """Write float16 weights as STEM-0.safetensors, STEM-1.safetensors, ...

    Args:
        scratch: A folder for what is not finished, outside of the stem's.
        moment: A number that parts of one another have in common, such as the step.
        largest: Bytes of a part.

    Raises:
        ValueError: Some number is not finite in float16.
    """
    halves = {name: entry.detach().to("cpu", torch.float16).contiguous() for name, entry in entries.items()}
    for name, entry in halves.items():
        if not entry.isfinite().all():
            raise ValueError(f"{name} holds numbers that are not finite in float16; write no such weights")
    groups = divide(halves, largest)
    paths = [stem.with_name(f"{stem.name}-{number}.safetensors") for number in range(len(groups))]
    header = {"format": FORMAT, "config": config_to_json(config), "parts": str(len(groups)), "moment": str(moment)}
    for path, group in zip(paths, groups, strict=True):
        with renamed_into(path, scratch) as temporary:
            save_file(group, temporary, metadata=header)
    return paths


def divide(entries: Mapping[str, Tensor], largest: int) -> list[dict[str, Tensor]]:
    """Sort tensors into as few groups as their order allows, of about the same size."""
    total = sum(entry.nbytes for entry in entries.values())
    count = max(1, -(-total // max(1, largest - 2**16)))  # the header needs room, too
    while True:
        groups: list[dict[str, Tensor]] = [{} for _ in range(count)]
        before = 0
        for name, entry in entries.items():
            groups[min(count - 1, before * count // max(1, total))][name] = entry
            before += entry.nbytes
        sizes = [sum(entry.nbytes for entry in group.values()) for group in groups]
        if max(sizes) <= largest or count >= len(entries):
            return [group for group in groups if group]
        count += 1


def join(stem: Path) -> Cut3r:
    """Put the parts of a network together.

    Args:
        stem: Their name without number and suffix.

    Raises:
        FileNotFoundError: There are none, or one is missing.
        ValueError: One is damaged, of another kind, or of another moment.
    """
    first = stem.with_name(f"{stem.name}-0.safetensors")
    entries, header = read_safetensors(first)
    if header.get("format") != FORMAT:
        raise ValueError(f"{first} is no part of a network; give the name without number, such as runs/gpu/ema")
    for number in range(1, int(header["parts"])):
        path = stem.with_name(f"{stem.name}-{number}.safetensors")
        more, other = read_safetensors(path)
        if other != header:
            raise ValueError(
                f"{path} is of step {other.get('moment')} and {first.name} of step {header['moment']}; the writing was "
                "interrupted between the two, so take the other weights (raw or ema), or earlier ones"
            )
        entries |= more
    with torch.device("meta"):
        model = Cut3r(config_from_json(header["config"]))
    model.load_state_dict({name: entry.float() for name, entry in entries.items()}, assign=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stem", type=Path, help="of the parts, without -0.safetensors")
    parser.add_argument("file", type=Path, help="the network to write, in float16")
    args = parser.parse_args()
    save(join(args.stem), args.file, dtype=torch.float16)


if __name__ == "__main__":
    main()
