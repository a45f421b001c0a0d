"""NYU Depth v2: the 654 test pictures, from the authors' file or from the release made for FastDepth.

Both give the same scores (AbsRel 0.0858 by a third party). Files are named by the number of the picture, from 1.
"""

import io
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
import scipy.io
from jaxtyping import Float32, UInt8
from PIL import Image

from cut3r.files.listing import is_hidden, visible
from eval.prepare.runner import Job, Order, Preparer
from eval.sequences.nyu import FRAMES, folder_of

RAW = "nyu_depth_v2_labeled.mat and splits.mat; or val-*.tar of the release for FastDepth, packed or unpacked"

Picture = tuple[str, UInt8[np.ndarray, "h w 3"], Float32[np.ndarray, "h w"]]


def jobs(order: Order) -> Iterator[Job]:
    folder = folder_of(order.out)
    yield Job("nyu", (folder / "nyu_depths", folder / "nyu_images"), partial(make, order))


def make(order: Order, hidden: tuple[Path, ...]) -> str:
    """Write pictures and depth.

    Raises:
        FileNotFoundError: Neither source is in the raw folder.
        ValueError: It has not 654 pictures.
    """
    depths, images = hidden
    for folder in hidden:
        folder.mkdir()
    for name, rgb, depth in pictures(order.raw):
        np.save(depths / f"{name}.npy", depth)
        Image.fromarray(rgb).save(images / f"{name}.png")
    count = len(list(images.iterdir()))
    if count != FRAMES:
        raise ValueError(f"{order.raw} gives {count} pictures; expected {FRAMES}; is one of the archives missing?")
    return f"{count} pictures"


def pictures(raw: Path) -> Iterator[Picture]:
    """Read the test pictures from whatever the raw folder holds: name, picture, depth in metres."""
    labeled, shards = raw / "nyu_depth_v2_labeled.mat", visible(raw, "val-*.tar")
    files = visible(raw, "**/official/*.h5")
    if labeled.is_file():
        yield from read_labeled(labeled, raw / "splits.mat")
    elif files:
        for path in files:
            with path.open("rb") as file:
                yield read_fastdepth(path.stem, file)
    elif shards:
        for shard in shards:
            yield from _read_shard(shard)
    else:
        raise FileNotFoundError(f"{raw} holds neither source; expected {RAW}")


def read_labeled(labeled: Path, splits: Path) -> Iterator[Picture]:
    """Read the test pictures of the authors' file. MATLAB's axes come out in reverse order."""
    with h5py.File(labeled) as file:
        for number in _test_numbers(splits):
            rgb, depth = file["images"][number - 1], file["depths"][number - 1]  # 3 w h, w h
            yield f"{number:05d}", np.ascontiguousarray(rgb.transpose(2, 1, 0)), depth.T.astype(np.float32)


def read_fastdepth(name: str, file: BinaryIO) -> Picture:
    """Read one picture of the release for FastDepth."""
    with h5py.File(file) as content:
        rgb, depth = content["rgb"][:], content["depth"][:]  # 3 h w, h w
    return name, np.ascontiguousarray(rgb.transpose(1, 2, 0)), depth.astype(np.float32)


def _read_shard(shard: Path) -> Iterator[Picture]:
    with tarfile.open(shard) as tar:
        for member in tar:
            path = Path(member.name)
            file = tar.extractfile(member) if path.suffix == ".h5" and not is_hidden(path) else None
            if file is not None:
                yield read_fastdepth(path.stem, io.BytesIO(file.read()))


def _test_numbers(splits: Path) -> list[int]:
    """The numbers of the test pictures, from 1; splits.mat may be of either format of MATLAB."""
    if not splits.is_file():
        raise FileNotFoundError(f"{splits} is missing; it says which of the 1449 pictures are for testing")
    if h5py.is_hdf5(splits):
        with h5py.File(splits) as file:
            numbers: Any = file["testNdxs"][:]
    else:
        numbers = scipy.io.loadmat(splits)["testNdxs"]
    return sorted(int(number) for number in numbers.ravel())


PREPARER = Preparer("nyu", "NYU Depth v2: 654 test pictures", RAW, jobs)
