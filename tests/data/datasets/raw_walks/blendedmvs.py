from pathlib import Path

import numpy as np
from PIL import Image

from cut3r.data.view import RawFrame
from cut3r.io.pfm import write_pfm
from tests.data.datasets.raw_walks import render_walk

NAME = "5a3ca9cb270f0e3f14d0eddb"
INTRINSICS = np.array([[200.0, 0, 125], [0, 205, 85], [0, 0, 1]])


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames, folder = render_walk((192, 256), INTRINSICS, frames=3), raw / NAME
    for part in ("blended_images", "cams", "rendered_depth_maps"):
        (folder / part).mkdir(parents=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame.rgb).save(folder / f"blended_images/{number:08d}.jpg", quality=95)
        write_pfm(folder / f"rendered_depth_maps/{number:08d}.pfm", frame.depth)
        write_camera(folder / f"cams/{number:08d}_cam.txt", frame)
    return {NAME: frames}


def write_camera(path: Path, frame: RawFrame) -> None:
    rows = [
        [" ".join(map(repr, row)) for row in matrix.tolist()]
        for matrix in (np.linalg.inv(frame.world_from_cam), frame.intrinsics)
    ]
    path.write_text("\n".join(["extrinsic", *rows[0], "", "intrinsic", *rows[1], "", "0.5 0.01 128 5.0"]) + "\n")
