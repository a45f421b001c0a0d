import json
from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk

INTRINSICS = np.array([[262.0, 0, 117.5], [0, 260.5, 162.25], [0, 0, 1]])
DEPTH = 0.003  # whole millimetres


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames = render_walk((320, 240), INTRINSICS, frames=3)
    folder = raw / "cup" / "scenes" / "scene_007"
    lines = []
    for number, frame in enumerate(frames):
        save_image(folder / "rgb" / f"{number:05d}.png", frame.rgb)
        save_image(folder / "depth" / f"{number:05d}.png", np.rint(1000 * frame.depth).astype(np.uint16))
        save_image(folder / "masks" / f"{number:05d}.png", np.full(frame.size, 255, np.uint8))
        lines.append(" ".join(str(value) for value in (number, *frame.world_from_cam.ravel())))
    (folder / "cam_poses.txt").write_text("\n".join(lines) + "\n")
    (h, w), k = frames[0].size, frames[0].intrinsics
    metadata = {"K": k.T.ravel().tolist(), "w": w, "h": h}
    (folder / "metadata").write_text(json.dumps(metadata))
    for name in ("camera_eval_list.json", "nvs_list.json"):
        (raw / "cup" / name).write_text(json.dumps({"train": ["scenes/scene_007"], "val": []}))
    return {"cup/scenes/scene_007": frames}
