import gzip
import json
from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk

DEPTH = 0.002  # half precision


FAULT = "principal point looks half a pixel too large"


def write_faulty(raw: Path) -> None:
    write_walk(raw, render_walk((120, 192), frames=12, speed=1.0))


def write(raw: Path) -> dict[str, list[RawFrame]]:
    return write_walk(raw, render_walk((60, 96), frames=4))


def write_walk(raw: Path, frames: list[RawFrame]) -> dict[str, list[RawFrame]]:
    """Write the second download layout: the annotations lie beside all sequences."""
    folder, records = raw / "aaa-3_obj_source_left", []
    for number, frame in enumerate(frames):
        save_image(folder / "images" / f"aaa-3_obj_source_left-{number:04d}.png", frame.rgb)
        depth = frame.depth.astype(np.float16).view(np.uint16)
        save_image(folder / "depths" / f"aaa-3_obj_source_left_{number:04d}.geometric.png", depth)
        records.append(record("aaa-3_obj", number, frame))
    write_records(raw / "frame_annotations_train.jgz", records)
    return {"train/aaa-3_obj": frames}


def record(sequence: str, number: int, frame: RawFrame) -> dict:
    """Annotate a frame of the left camera, without flow."""
    h, w = frame.size
    k, half = frame.intrinsics, min(h, w) / 2
    cam_from_world = np.linalg.inv(frame.world_from_cam)
    pytorch3d_from_opencv = np.diag([-1.0, -1, 1])
    viewpoint = {
        "R": (pytorch3d_from_opencv @ cam_from_world[:3, :3]).T.tolist(),
        "T": (pytorch3d_from_opencv @ cam_from_world[:3, 3]).tolist(),
        "focal_length": [k[0, 0] / half, k[1, 1] / half],
        "principal_point": [(w / 2 - k[0, 2] - 0.5) / half, (h / 2 - k[1, 2] - 0.5) / half],
        "intrinsics_format": "ndc_isotropic",
    }
    folder = f"{sequence}_source_left"
    return {
        "sequence_name": sequence,
        "camera_name": "left",
        "frame_number": number,
        "frame_timestamp": number / 30,
        "image": {"path": f"{folder}/images/{folder}-{number:04d}.png", "size": [h, w]},
        "depth": {"path": f"{folder}/depths/{folder}_{number:04d}.geometric.png"},
        "viewpoint": viewpoint,
    }


def write_records(path: Path, records: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as file:
        json.dump(records, file)
