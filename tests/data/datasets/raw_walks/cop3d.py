import json
from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_fixtures import save_image, save_jgz
from tests.data.datasets.raw_walks import render_walk

SIZE = (240, 320)
INTRINSICS = np.array([[262.0, 0, 161.5], [0, 260.5, 118.25], [0, 0, 1]])


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames, folder = render_walk(SIZE, INTRINSICS, frames=3), raw / "cat" / "7_8_9"
    records, entries = [], []
    for number, frame in enumerate(frames):
        path = f"cat/7_8_9/images/frame{number:06d}.jpg"
        (folder / "images").mkdir(parents=True, exist_ok=True)
        save_image(folder / "images" / f"frame{number:06d}.jpg", frame.rgb)
        save_image(folder / "masks" / f"frame{number:06d}.png", np.full(frame.size, 255, np.uint8))
        image = {"path": path, "size": list(frame.size)}
        records.append(
            {"sequence_name": "7_8_9", "frame_number": number, "image": image, "viewpoint": viewpoint_of(frame)}
        )
        entries.append(["7_8_9", number, path])
    save_jgz(raw / "cat" / "frame_annotations.jgz", records)
    save_jgz(raw / "cat" / "sequence_annotations.jgz", [{"sequence_name": "7_8_9", "viewpoint_quality_score": 0.9}])
    (raw / "cat" / "set_lists").mkdir()
    lists = {"train": entries, "val": [], "test": []}
    (raw / "cat" / "set_lists" / "set_lists_fewview_train.json").write_text(json.dumps(lists))
    return {"cat/7_8_9": frames}


def viewpoint_of(frame: RawFrame) -> dict:
    """The camera in PyTorch3D's convention: x left, y up; coordinates count from the corner, in halves of the shorter
    side."""
    cam_from_world = np.linalg.inv(frame.world_from_cam)
    flip, scale = np.diag([-1.0, -1, 1]), min(frame.size) / 2
    center = np.array([frame.size[1], frame.size[0]]) / 2 - (frame.intrinsics[:2, 2] + 0.5)
    return {
        "R": (flip @ cam_from_world[:3, :3]).T.tolist(),
        "T": (flip @ cam_from_world[:3, 3]).tolist(),
        "focal_length": (np.diag(frame.intrinsics)[:2] / scale).tolist(),
        "principal_point": (center / scale).tolist(),
    }
