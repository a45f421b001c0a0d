"""A walk through a rendered room as a finished run: photos on the disk, and the files of its frames, all true."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cut3r.data.synthetic import synthetic_walk
from cut3r.data.walks import WalkConfig
from cut3r.geometry.poses import invert
from cut3r.inference.preprocess import PixelMap
from cut3r.io.images import write_image

ORIGINAL, SCALED, CUT = (192, 256), (96, 128), 8  # rows are cut off above, so that offsets count
SIZE = (80, 128)


@dataclass(frozen=True)
class Room:
    """`pixel_map` leads from the photos to what the network saw. The world is the camera of the first frame."""

    folder: Path
    photos: Path
    world_from_cam: np.ndarray
    intrinsics_original: np.ndarray
    pixel_map: PixelMap
    names: list[str]


def make_room(root: Path, *, frames: int = 8, noise: float = 0.0, portrait: bool = False, **camera: object) -> Room:
    """Write it.

    Args:
        noise: Of depth, as a share.
        portrait: Turn everything by 90 degrees about the axis of the camera.
        camera: Fields of the files of cameras that are to be otherwise.
    """
    large = synthetic_walk(7, 3, WalkConfig(size=ORIGINAL, frames=frames, noise=0.0, blur_px=0.0))
    small = synthetic_walk(7, 3, WalkConfig(size=SCALED, frames=frames, noise=0.0, blur_px=0.0))
    poses = (invert(large.world_from_cam[0].double()) @ large.world_from_cam.double()).numpy()
    pixel_map = PixelMap(ORIGINAL, SIZE, (0.5, 0.5), (0.0, float(CUT)))
    intrinsics = pixel_map.intrinsics_to_image(large.intrinsics[0].double()).numpy()
    original = large.intrinsics[0].double().numpy()
    photos, folder = root / "photos", root / "out"
    for kind in ("depth", "conf", "color", "camera"):
        (folder / kind).mkdir(parents=True)
    photos.mkdir()
    random = np.random.default_rng(0)
    names = [f"IMG_{number + 1:03d}.png" for number in range(frames)]
    for number, name in enumerate(names):
        rows = slice(CUT, CUT + SIZE[0])
        rgb, color = large.rgb[number].numpy(), small.rgb[number, rows].numpy()
        depth = small.depth[number, rows].numpy()
        depth = (depth * (1 + noise * random.standard_normal(depth.shape))).astype(np.float32)
        pose, k, k0, offset = poses[number], intrinsics, original, (0.0, float(CUT))
        if portrait:
            rgb, color, depth = (np.rot90(values, -1).copy() for values in (rgb, color, depth))
            turn = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])  # cam_from_turned
            pose, k, k0 = pose @ turn, _turned(k, SIZE), _turned(k0, ORIGINAL)
            offset = (float(SCALED[0] - CUT - SIZE[0]), 0.0)
        write_image(photos / name, rgb)
        write_image(folder / "color" / f"{number:06d}.png", color)
        np.save(folder / "depth" / f"{number:06d}.npy", depth)
        np.save(folder / "conf" / f"{number:06d}.npy", np.full(depth.shape, 5, np.float32))
        facts = {
            "pose": pose.astype(np.float32),
            "intrinsics": k.astype(np.float32),
            "intrinsics_original": k0.astype(np.float32),
            "original_size": np.array(rgb.shape[:2]),
            "scale": np.array((0.5, 0.5)),
            "offset": np.array(offset),
            "time_s": np.array(np.nan),
            "index": np.array(number),
            "chunk": np.array(0),
            "placed": np.array(False),
            "finite": np.array(True),
            "name": np.array(name),
        }
        np.savez(folder / "camera" / f"{number:06d}.npz", **(facts | camera))
    if portrait:
        pixel_map = PixelMap(ORIGINAL[::-1], SIZE[::-1], (0.5, 0.5), offset)
        poses, original = poses @ turn, _turned(original, ORIGINAL)
    return Room(folder, photos, poses, original, pixel_map, names)


def _turned(intrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Of a picture that is turned clockwise: column 0 is the last row."""
    fx, fy, cx, cy = intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]
    return np.array([[fy, 0, size[0] - 1 - cy], [0, fx, cx], [0, 0, 1.0]])
