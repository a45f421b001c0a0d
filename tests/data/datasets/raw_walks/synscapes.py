import json
from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from cut3r.io.exr import write_exr
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_unrelated

SIZE = (96, 128)
INTRINSICS = np.array([[90.0, 0, 68], [0, 91, 46], [0, 0, 1]])


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames = render_unrelated(SIZE, INTRINSICS, frames=2)
    for folder in ("img/depth", "meta"):
        (raw / folder).mkdir(parents=True)
    for number, frame in zip((9, 10), frames, strict=True):
        save_image(raw / "img" / "rgb" / f"{number}.png", frame.rgb)
        save_image(raw / "img" / "class" / f"{number}.png", np.full(frame.size, 7, np.uint8))
        write_exr(raw / "img" / "depth" / f"{number}.exr", frame.depth[..., None], channels=["Z"])
        (h, w), k = frame.size, frame.intrinsics
        camera = {"fx": k[0, 0], "fy": k[1, 1], "u0": k[0, 2], "v0": k[1, 2], "resx": w, "resy": h}
        (raw / "meta" / f"{number}.json").write_text(json.dumps({"camera": {"intrinsic": camera}}))
    return {"all": frames}
