from pathlib import Path

import numpy as np
from scipy.io import savemat

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_unrelated


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames = render_unrelated((96, 128), frames=2)
    for frame, mode in zip(frames, ("clear", "sunset"), strict=True):
        for part in ("Depth", "cam_matrix"):
            (raw / part / "0001" / mode).mkdir(parents=True)
        save_image(raw / "RGB" / "0001" / mode / "0007_L.png", frame.rgb)
        depth = np.stack([frame.depth, frame.depth + 1, frame.depth + 2], axis=-1)
        savemat(raw / "Depth" / "0001" / mode / "0007_L.mat", {"Depth": depth.astype(np.float64)})
        cameras = {"K_L": frame.intrinsics, "K_R": np.eye(3)}
        savemat(raw / "cam_matrix" / "0001" / mode / "0007.mat", cameras)
    return {"all": frames}
