"""Walks through synthetic rooms: exact truth, nothing to download, the same everywhere; for all protocols.

They are rendered when they are first asked for, into ROOT/rooms/<version of the renderer>/<walk>: pictures as PNG,
depth as float32, cameras.npz. The seed is held out: no training of ours sees it (docs/training.md).
"""

import logging
import shutil
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from cut3r.data.layout import read_npy, read_npz, write_npz
from cut3r.data.synthetic import HELD_OUT_SEED, RENDERER, synthetic_walk
from cut3r.data.walks import WalkConfig
from cut3r.files.locks import exclusive
from cut3r.io.depth import write_depth
from cut3r.io.images import write_image
from eval.sequences.inventory import Request, depth_reader
from eval.sequences.sequence import Sequence

logger = logging.getLogger(__name__)

WALKS = 4
CONFIG = WalkConfig(size=(240, 320), frames=40)
FEW = 5  # every so many frames where neighbours say the same: single pictures, and reconstructions


def open_depth(root: Path, request: Request) -> list[Sequence]:
    """Open the walks with depth (float32)."""
    return [_sequence(folder) for folder in rendered(root)]


def open_some_depth(root: Path, request: Request) -> list[Sequence]:
    """Open every fifth frame of the walks with depth (float32)."""
    return [sequence.every(FEW) for sequence in open_depth(root, request)]


def open_poses(root: Path, request: Request) -> list[Sequence]:
    """Open the walks with cameras."""
    return open_depth(root, request)


def open_reconstruction(root: Path, request: Request) -> list[Sequence]:
    """Open every fifth frame of the walks with depth (float32), cameras and intrinsics."""
    return open_some_depth(root, request)


def rendered(root: Path) -> list[Path]:
    """Give the folders of the walks; those that are not there are rendered, by one process at a time.

    Raises:
        ValueError: They cannot be written.
    """
    home = root / "rooms" / RENDERER.replace(" ", "_")
    folders = [home / f"walk_{index}" for index in range(WALKS)]
    if all(folder.is_dir() for folder in folders):
        return folders
    try:
        with exclusive(home / ".lock"):
            for index, folder in enumerate(folders):
                if not folder.is_dir():
                    logger.info("rendering %s, %d of %d", folder, index + 1, WALKS)
                    _render(index, folder)
    except OSError as error:
        raise ValueError(
            f"rooms are rendered into {home}, which failed: {error}; choose another root=FOLDER"
        ) from error
    return folders


def read_depth(path: Path) -> Float32[np.ndarray, "h w"]:
    """Read a depth map, metres."""
    return read_npy(path)


def _render(index: int, folder: Path) -> None:
    walk = synthetic_walk(HELD_OUT_SEED, index, CONFIG)
    partial = folder.with_name(f".{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    for number, (rgb, depth) in enumerate(zip(walk.rgb.numpy(), walk.depth.numpy(), strict=True)):
        write_image(partial / "rgb" / f"{number:04d}.png", rgb)
        write_depth(partial / "depth" / f"{number:04d}.npy", depth)
    write_npz(
        partial / "cameras.npz",
        world_from_cam=walk.world_from_cam.double().numpy(),
        intrinsics=walk.intrinsics.double().numpy(),
    )
    partial.rename(folder)


def _sequence(folder: Path) -> Sequence:
    world_from_cam, intrinsics = read_npz(folder / "cameras.npz", "world_from_cam", "intrinsics")
    stems = [f"{number:04d}" for number in range(len(world_from_cam))]
    return Sequence(
        folder.name,
        tuple(folder / "rgb" / f"{stem}.png" for stem in stems),
        depth_reader((folder / "depth" / f"{stem}.npy" for stem in stems), read_depth),
        world_from_cam=world_from_cam,
        intrinsics=intrinsics,
        times_s=np.arange(len(stems)) / CONFIG.rate_hz,
    )
