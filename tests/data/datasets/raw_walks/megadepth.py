from pathlib import Path

import h5py
import numpy as np
from scipy.spatial.transform import Rotation

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk

H, W, FOCAL = 240, 320, 260.0
DEPTH, PICTURE = 0.01, 10  # the intrinsics of undistorted photos are an estimate, a fraction of a pixel off


def write(raw: Path) -> dict[str, dict[str, RawFrame]]:
    intrinsics = np.array([[FOCAL, 0, (W - 1) / 2], [0, FOCAL, (H - 1) / 2], [0, 0, 1]])
    frames = dict(zip((f"{i}.png" for i in range(5)), render_walk((H, W), intrinsics, frames=5), strict=True))
    lines = ["# images"] * 4
    for number, (name, frame) in enumerate(frames.items(), 1):
        save_image(raw / "0001" / "dense0" / "imgs" / name, frame.rgb)
        path = raw / "0001" / "dense0" / "depths" / f"{Path(name).stem}.h5"
        path.parent.mkdir(exist_ok=True)
        with h5py.File(path, "w") as file:
            file["depth"] = frame.depth
        cam_from_world = np.linalg.inv(frame.world_from_cam)
        x, y, z, w = Rotation.from_matrix(cam_from_world[:3, :3]).as_quat()
        values = " ".join(f"{value:.12f}" for value in (w, x, y, z, *cam_from_world[:3, 3]))
        lines += [f"{number} {values} 1 {name}", " ".join(f"1.5 2.5 {point}" for point in range(20))]
    model = raw / "0001" / "sparse" / "manhattan" / "0"
    model.mkdir(parents=True)
    first = next(iter(frames.values()))
    (h, w), focal = first.size, first.intrinsics[0, 0]
    (model / "images.txt").write_text("\n".join(lines) + "\n")
    (model / "cameras.txt").write_text("# cameras\n" * 3 + f"1 SIMPLE_RADIAL {w} {h} {focal} {w / 2} {h / 2} 0\n")
    return {"0001/0": frames}
