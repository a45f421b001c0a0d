import json
import math
from pathlib import Path

import numpy as np

from cut3r.data.datasets.threedkb import UNIT
from cut3r.data.view import RawFrame
from cut3r.io.exr import write_exr
from datasets_preprocess.threedkb import VIEWS
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_unrelated

SIZE = (96, 128)
INTRINSICS = np.array([[100.0, 0, 63.5], [0, 100, 47.5], [0, 0, 1]])


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames = render_unrelated(SIZE, INTRINSICS, frames=2)
    for number, frame in enumerate(frames):
        folder, name = raw / "city-flying", f"{number:05d}"
        for view in VIEWS:
            save_image(folder / f"{name}-{view}-image.png", frame.rgb)
            depth = raw / "city-flying-depth" / f"{name}-{view}-depth.exr"
            depth.parent.mkdir(exist_ok=True)
            write_exr(depth, frame.depth * np.float32(UNIT))
        fov_deg = math.degrees(2 * math.atan(SIZE[1] / 2 / INTRINSICS[0, 0]))
        (folder / f"{name}-meta.json").write_text(json.dumps({"intSample": number, "fltFov": fov_deg}))
    return {"all": frames}
