import json
from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk

FAULT = "x and y were swapped"  # the original takes cy for cx
FAULT_SURVIVES = True
DEPTH = 0.003  # whole millimetres
LOG = """SDK version: 1.2
LEFT CAMERA PARAMETERS
Resolution: [{w}, {h}].
Optical center along x axis, defined in pixels: {cx}.
Optical center along y axis, defined in pixels: {cy}.
Focal length in pixels alog x axis: {fx}.
Focal length in pixels alog y axis: {fy}.
RIGHT CAMERA PARAMETERS
Optical center along x axis, defined in pixels: 1.5.
Focal length in pixels alog x axis: 9.0.
"""


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames, folder, entries = render_walk((207, 368), frames=3), raw / "Seq4", []
    for number, frame in enumerate(frames):
        color, depth = f"left_{9 + number}", f"depth_{9 + number}"
        save_image(folder / "Images" / f"{color}.png", frame.rgb)
        save_image(folder / "Images" / f"{depth}.png", np.rint(1000 * frame.depth).astype(np.uint16))
        pose = frame.world_from_cam.copy()
        pose[:3, 3] *= 1000
        entries.append({"color_frame_left": color, "depth_frame": depth, "m": pose.tolist()})
    (folder / "complete.json").write_text(json.dumps({"Data": entries}))
    k, (h, w) = frames[0].intrinsics, frames[0].size
    (folder / "log.txt").write_text(LOG.format(w=w, h=h, fx=k[0, 0], fy=k[1, 1], cx=k[0, 2], cy=k[1, 2]))
    return {"Seq4": frames}
