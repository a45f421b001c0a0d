from pathlib import Path

import numpy as np
from PIL import Image

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_walks import render_walk

INTRINSICS = np.array([[100.0, 0, 75], [0, 105, 55], [0, 0, 1]])


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames = render_walk((120, 160), INTRINSICS, frames=3)
    folder = raw / "scans_train/scene0000_00"
    for part in ("color", "depth", "pose", "intrinsic"):
        (folder / part).mkdir(parents=True)
    for number, frame in enumerate(frames):
        color = np.kron(frame.rgb, np.ones((2, 2, 1), np.uint8))  # colour has twice the size
        Image.fromarray(color).save(folder / f"color/{number}.jpg", quality=95)
        Image.fromarray(np.rint(frame.depth * 1000).astype(np.uint16)).save(folder / f"depth/{number}.png")
        np.savetxt(folder / f"pose/{number}.txt", frame.world_from_cam)
    for kind, scale in (("color", 2.0), ("depth", 1.0)):
        matrix = np.eye(4)
        matrix[:3, :3] = frames[0].intrinsics * [[scale], [scale], [1]]
        np.savetxt(folder / f"intrinsic/intrinsic_{kind}.txt", matrix)
    return {"scene0000_00": frames}
