"""Small recordings of one's own, in every layout."""

from pathlib import Path

import numpy as np
from PIL import Image

from cut3r.io.trajectory import write_kitti, write_tum

SIZE = (48, 64)


def cameras(frames: int) -> np.ndarray:
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 0, 3] = 0.1 * np.arange(frames)
    return poses


def write_recording(folder: Path, layout: str, *, frames: int, digits: int = 6) -> None:
    """Frame k is of grey 10 k and depth 1 + 0.1 k metres; the camera moves to the right by 0.1 m per frame."""
    sevenscenes = layout == "sevenscenes"
    folder.mkdir(parents=True)
    for name in () if sevenscenes else ("rgb", "depth", *(["pose"] if layout == "matrices" else [])):
        (folder / name).mkdir()
    for number, camera in enumerate(cameras(frames)):
        name = f"{number:0{digits}d}"
        stem = folder / f"frame-{name}"
        grey = np.random.default_rng(number).integers(0, 3, (*SIZE, 3), dtype=np.uint8) + np.uint8(10 * number)
        Image.fromarray(grey).save(f"{stem}.color.png" if sevenscenes else folder / f"rgb/{name}.png")
        depth = np.full(SIZE, 1000 + 100 * number, np.uint16)
        Image.fromarray(depth).save(f"{stem}.depth.png" if sevenscenes else folder / f"depth/{name}.png")
        if sevenscenes or layout == "matrices":
            np.savetxt(f"{stem}.pose.txt" if sevenscenes else folder / f"pose/{name}.txt", camera)
    if layout == "tum":
        write_tum(folder / "trajectory.txt", cameras(frames), np.arange(frames, dtype=np.float64))
    if layout == "kitti":
        write_kitti(folder / "trajectory.txt", cameras(frames))
    (folder / "intrinsics.txt").write_text("60 60 31.5 23.5\n")
