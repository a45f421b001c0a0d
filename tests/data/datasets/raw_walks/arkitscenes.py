from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk

QUARTERS = {"UP": 0, "RIGHT": 1, "DOWN": 2, "LEFT": 3}  # counter-clockwise, that make a picture upright
QUARTER = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
DEPTH = 0.004  # a pixel of depth is two of the picture
INTRINSICS = np.array([[100.0, 0, 75], [0, 105, 55], [0, 0, 1]])
FAULT = "principal point looks counted from the right"  # it does not turn with the picture
FAULT_SURVIVES = True


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames = render_walk((120, 160), INTRINSICS, frames=3)
    write_video(raw / "Training/41000001", frames, "LEFT", "lowres_depth", 2)
    write_video(raw / "Validation/41000002", frames, "RIGHT", "lowres_depth", 2)
    write_video(raw / "Test/41000003", frames, "DOWN", "lowres_depth", 2)
    return {f"4100000{number}": frames for number in (1, 2, 3)}


def write_faulty(raw: Path) -> None:
    frames = render_walk((120, 160), INTRINSICS, frames=8, speed=1.0)
    write_video(raw / "Training/41000001", frames, "LEFT", "lowres_depth", 1)


def write_video(folder: Path, frames: list[RawFrame], sky: str, depth: str, step: int, start: float = 100.0) -> None:
    """Write pictures as they were taken, of a tablet whose sky is there; depth holds each `step`-th pixel."""
    lines, name = [], folder.name
    for part in ("vga_wide", "vga_wide_intrinsics", depth):
        (folder / part).mkdir(parents=True)
    turns = QUARTERS[sky]
    for number, frame in enumerate(frames):
        time = f"{start + 0.1 * number:.3f}"
        save_image(folder / f"vga_wide/{name}_{time}.png", np.rot90(frame.rgb, -turns).copy())
        millimetres = np.rint(np.rot90(frame.depth, -turns) * 1000).astype(np.uint16)
        Image.fromarray(millimetres[::step, ::step].copy()).save(folder / f"{depth}/{name}_{time}.png")
        calibration = " ".join(map(str, taken_intrinsics(frame, turns)))
        (folder / f"vga_wide_intrinsics/{name}_{time}.pincam").write_text(calibration + "\n")
        taken = np.linalg.inv(frame.world_from_cam @ np.linalg.matrix_power(QUARTER, -turns % 4))
        vector = Rotation.from_matrix(taken[:3, :3]).as_rotvec()
        lines.append(" ".join(f"{value:.9f}" for value in (float(time), *vector, *taken[:3, 3])))
    (folder / "lowres_wide.traj").write_text("\n".join(lines) + "\n")


def taken_intrinsics(frame: RawFrame, turns: int) -> tuple[float, ...]:
    """Turn the picture back a quarter at a time: w, h, fx, fy, cx, cy."""
    h, w = frame.size
    fx, fy, cx, cy = frame.intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]]
    for _ in range(turns):  # clockwise: pixel (x, y) comes to (h - 1 - y, x)
        w, h, fx, fy, cx, cy = h, w, fy, fx, h - 1 - cy, cx
    return w, h, fx, fy, cx, cy
