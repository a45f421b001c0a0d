"""What does a processed dataset weigh, and how long does a processor work for it?

Writes, for each dataset, a walk through a synthetic room as its owner would publish it, at the size of the published
pictures, and converts it: `mb_per_frame` is what lies in the processed folder afterwards, `core_s_per_frame` the
processor time of the conversion (reading, resampling, encoding, writing, checksums) for each frame that it keeps. A
first conversion, of small pictures, is not counted: libraries are loaded.

Rendered pictures are smoother than photographs: JPEG and PNG of real ones are larger, and take longer. Where frames
come out of a video, decoding it is not in the numbers.

    PYTHONPATH=. python benchmarks/conversion.py --out

`python -m datasets_preprocess.cards` multiplies the newest record with the published numbers of frames, for
docs/data.md.
"""

import argparse
import importlib
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from report import add_out_flag, environment, finish, table

from cut3r.data.datasets import PROCESSED
from cut3r.data.processed import ALL
from datasets_preprocess import CONVERTERS
from datasets_preprocess.runner import run

WALKS = "tests.data.datasets.raw_walks"  # which write what an owner of a dataset would publish


class Published(NamedTuple):
    """The size of the pictures in pixels, and how many published frames there are to each that a conversion keeps;
    `known` is False where sizes differ or nobody says, and a usual one is taken."""

    size: tuple[int, int]  # (h, w)
    of_each: int = 1
    known: bool = True


PUBLISHED = {
    "arkitscenes": Published((480, 640)),
    "arkitscenes_highres": Published((480, 640)),
    "bedlam": Published((720, 1280)),
    "blendedmvs": Published((576, 768)),
    "co3d": Published((1920, 1080), known=False),
    "cop3d": Published((1080, 1920), known=False),
    "dl3dv": Published((540, 960)),
    "dynamic_replica": Published((720, 1280)),
    "eden": Published((480, 640), known=False),
    "hoi4d": Published((1080, 1920), of_each=15),
    "hypersim": Published((768, 1024)),
    "irs": Published((540, 960)),
    "mapfree": Published((720, 540), known=False),
    "megadepth": Published((1200, 1600), known=False),
    "mp3d": Published((1024, 1280)),
    "mvimgnet": Published((1920, 1080)),
    "mvs_synth": Published((720, 1280)),
    "omniobject3d": Published((800, 800)),
    "pointodyssey": Published((540, 960), known=False),
    "realestate10k": Published((360, 640), known=False),
    "scannet": Published((480, 640)),
    "scannetpp": Published((1440, 1920)),
    "smartportraits": Published((1080, 1920)),
    "spring": Published((1080, 1920)),
    "synscapes": Published((720, 1440)),
    "tartanair": Published((480, 640)),
    "threedkb": Published((512, 512)),
    "uasol": Published((1242, 2208)),
    "unreal4k": Published((2160, 3840)),
    "urbansyn": Published((1024, 2048)),
    "vkitti2": Published((375, 1242)),
    "waymo": Published((1280, 1920)),
    "wildrgbd": Published((640, 480)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="datasets; without any, all")
    parser.add_argument("--small", action="store_true", help="leave the pictures as small as those of the tests")
    add_out_flag(parser)
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in PUBLISHED]:
        parser.error(f"{', '.join(unknown)}: no dataset; there are {', '.join(PUBLISHED)}")
    torch.set_num_threads(1)
    record = {"benchmark": "conversion", "environment": environment(torch.device("cpu"))}
    rows = [measure(name, small=args.small) for name in args.names or PUBLISHED]
    print(table(rows))
    finish("conversion", {**record, "rows": rows}, args.out)


def measure(name: str, *, small: bool) -> dict[str, Any]:
    """Convert a walk of a dataset.

    Raises:
        RuntimeError: The conversion has failed.
    """
    walk, published = importlib.import_module(f"{WALKS}.{name}"), PUBLISHED[name]
    with tempfile.TemporaryDirectory() as folder:
        convert(name, walk, Path(folder) / "small", None)
        converted, seconds = convert(name, walk, Path(folder) / "large", None if small else published.size)
        dataset = PROCESSED[name](converted, split=ALL, num_views=1, sizes=[(16, 16)])
        frames = [(scene, position) for scene in dataset.scenes for position in range(len(scene.frames))]
        stored = dataset.read(*frames[0]).size
        size = sum(path.stat().st_size for path in converted.rglob("*") if path.is_file())
    return {
        "name": name,
        "h": published.size[0],
        "w": published.size[1],
        "size_known": published.known,
        "stored_h": stored[0],
        "stored_w": stored[1],
        "frames": len(frames),
        "published_frames_of_each": published.of_each,
        "mb_per_frame": size / len(frames) / 1e6,
        "core_s_per_frame": seconds / len(frames),
    }


def convert(name: str, walk: ModuleType, folder: Path, size: tuple[int, int] | None) -> tuple[Path, float]:
    """Write the raw files and convert them; the folder of the result, and seconds of processor time."""
    if size is None:
        walk.write(folder / "raw")
    else:
        with importlib.import_module(WALKS).drawn_at(size):
            walk.write(folder / "raw", **getattr(walk, "FULL_SIZE", {}))
    options = getattr(walk, "OPTIONS", None) if size is None else getattr(walk, "PUBLISHED_OPTIONS", None)
    start = time.process_time()
    report = run(CONVERTERS[name], folder / "raw", folder / "out", options=options)
    seconds = time.process_time() - start
    if not report.complete:
        raise RuntimeError(f"the conversion of {name} has failed: {report}")
    return folder / "out", seconds


if __name__ == "__main__":
    main()
