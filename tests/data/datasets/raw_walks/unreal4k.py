from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk

BASELINE = 0.2
UNREAL_FROM_WORLD = np.array([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])  # left-handed


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames, folder = render_walk((432, 768), frames=2), raw / "00002"
    (folder / "Disp0").mkdir(parents=True)
    for side in (0, 1):
        (folder / f"Extrinsics{side}").mkdir()
    for number, frame in enumerate(frames):
        alpha = np.full((*frame.size, 1), 128, np.uint8)
        save_image(folder / "Image0" / f"{number:05d}.png", np.concatenate((frame.rgb, alpha), axis=-1))
        np.save(folder / "Disp0" / f"{number:05d}.npy", BASELINE * frame.intrinsics[0, 0] / frame.depth)
        from_corner = frame.intrinsics + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
        left_from_world = np.linalg.inv(UNREAL_FROM_WORLD @ frame.world_from_cam)
        for side in (0, 1):
            cam_from_world = left_from_world.copy()
            cam_from_world[0, 3] -= side * BASELINE
            lines = (from_corner.ravel(), cam_from_world[:3].ravel())
            text = "\n".join(" ".join(str(value) for value in line) for line in lines)
            (folder / f"Extrinsics{side}" / f"{number:05d}.txt").write_text(text + "\n")
    return {"00002/0": frames}
