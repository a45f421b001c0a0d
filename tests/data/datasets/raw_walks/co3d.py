import json
from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_fixtures import save_image, save_jgz
from tests.data.datasets.raw_walks import render_walk

H, W = 320, 240
INTRINSICS = np.array([[262.0, 0, 117.5], [0, 260.5, 162.25], [0, 0, 1]])
PYTORCH3D_FROM_OPENCV = np.diag([-1.0, -1, 1])


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames, sequence = render_walk((H, W), INTRINSICS, frames=3), "100_1_2"
    records, entries = [], []
    for number, frame in enumerate(frames):
        name, folder = f"frame{number + 1:06d}", raw / "apple" / sequence
        save_image(folder / "images" / f"{name}.png", frame.rgb)
        (folder / "images" / f"{name}.png").rename(folder / "images" / f"{name}.jpg")  # lossless, by content
        save_image(folder / "depths" / f"{name}.jpg.geometric.png", frame.depth.astype(np.float16).view(np.uint16))
        save_image(folder / "masks" / f"{name}.png", np.full(frame.size, 255, np.uint8))
        image = {"path": f"apple/{sequence}/images/{name}.jpg", "size": list(frame.size)}
        depth = {"path": f"apple/{sequence}/depths/{name}.jpg.geometric.png", "scale_adjustment": 1.0}
        record = {"sequence_name": sequence, "frame_number": number, "viewpoint": viewpoint(frame)}
        records.append({**record, "image": image, "depth": depth})
        entries.append([sequence, number, image["path"]])
    save_jgz(raw / "apple" / "frame_annotations.jgz", records)
    save_jgz(raw / "apple" / "sequence_annotations.jgz", [{"sequence_name": sequence, "viewpoint_quality_score": 0.9}])
    (raw / "apple" / "set_lists").mkdir()
    lists = {"train": entries, "val": [], "test": []}
    (raw / "apple" / "set_lists" / "set_lists_fewview_train.json").write_text(json.dumps(lists))
    return {f"apple/{sequence}": frames}


def viewpoint(frame: RawFrame) -> dict:
    """PyTorch3D's camera: x left, y up, row vectors, normalised by half of the shorter side, from corners."""
    cam_from_world = np.linalg.inv(frame.world_from_cam)
    half, center = min(frame.size) / 2, np.array(frame.size[::-1]) / 2
    return {
        "R": (PYTORCH3D_FROM_OPENCV @ cam_from_world[:3, :3]).T.tolist(),
        "T": (PYTORCH3D_FROM_OPENCV @ cam_from_world[:3, 3]).tolist(),
        "focal_length": (frame.intrinsics.diagonal()[:2] / half).tolist(),
        "principal_point": ((center - (frame.intrinsics[:2, 2] + 0.5)) / half).tolist(),
    }
