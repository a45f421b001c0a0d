import json
from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from cut3r.io.exr import write_exr
from datasets_preprocess.urbansyn import METRES
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_unrelated

SIZE = (240, 320)  # which becomes 480 x 640
INTRINSICS = np.array([[200.0, 0, 159.5], [0, 200, 119.5], [0, 0, 1]])


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames = render_unrelated(SIZE, INTRINSICS, frames=2)
    (raw / "depth").mkdir(parents=True)
    for number, frame in enumerate(frames):
        save_image(raw / "rgb" / f"rgb_{number:04d}.png", frame.rgb)
        save_image(raw / "ss" / f"ss_{number:04d}.png", np.zeros((*frame.size, 4), np.uint8))
        write_exr(raw / "depth" / f"depth_{number:04d}.exr", frame.depth / np.float32(METRES))
    camera = {"focalLength_mm": 20, "sensorWidth_mm": 32, "sensorHeight_mm": 24}
    (raw / "camera_metadata.json").write_text(json.dumps({"parameters": [{"Camera": camera}]}))
    return {"all": frames}
