import json
import math
from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from cut3r.io.exr import write_exr
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk

FAULT = r"the largest depth \(.*\) fills many pixels"  # alpha, 1 everywhere, is taken for depth
FAULT_SURVIVES = True
SCALE = 0.02  # rendered size of a millimetre
FOV = 0.69


def write(raw: Path, folder: str = "anise/anise_001") -> dict[str, list[RawFrame]]:
    """Write an object in a folder of its category; its last line of pixels is background."""
    focal = 48 / math.tan(FOV / 2)
    intrinsics = np.array([[focal, 0, 47.5], [0, focal, 29.5], [0, 0, 1]])
    frames, render, records = render_walk((60, 96), intrinsics, frames=4), raw / folder / "render", []
    for number, frame in enumerate(frames):
        alpha = np.full((*frame.size, 1), 255, np.uint8)
        alpha[-1] = 0
        save_image(render / "images" / f"r_{number}.png", np.concatenate((frame.rgb, alpha), axis=-1))
        depth = np.repeat(frame.depth[..., None] * 1000 * SCALE, 4, axis=-1).astype(np.float16)
        depth[-1], depth[..., 3] = 65504, 1
        write_exr(render / "depths" / f"r_{number}_depth.exr", depth)
        pose = frame.world_from_cam @ np.diag([1, -1, -1, 1])
        pose[:3, 3] *= 1000 * SCALE
        path = f"./render/images/r_{number}"
        records.append({"file_path": path, "rotation": 0.06, "transform_matrix": pose.tolist(), "scale": SCALE})
    (render / "transforms.json").write_text(json.dumps({"camera_angle_x": FOV, "frames": records}))
    return {"anise_001": frames}
