from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from datasets_preprocess.hoi4d import Hoi4dOptions
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_unrelated

SIZE = (240, 320)  # which becomes 480 x 640
INTRINSICS = np.array([[200.0, 0, 160], [0, 201, 118], [0, 0, 1]])
OPTIONS = Hoi4dOptions(every=1)
PUBLISHED_OPTIONS = OPTIONS  # of two frames, one in fifteen would be one


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames = render_unrelated(SIZE, INTRINSICS, frames=2)
    folder = raw / "HOI4D_release" / "ZY20210800001" / "H1" / "C1" / "N01" / "S1" / "s1" / "T1"
    for number, frame in enumerate(frames):
        save_image(folder / "align_rgb" / f"{number:05d}.jpg", frame.rgb)
        save_image(folder / "align_depth" / f"{number:05d}.png", np.rint(1000 * frame.depth).astype(np.uint16))
    (raw / "CAMERA_PARAMS" / "ZY20210800001").mkdir(parents=True)
    np.save(raw / "CAMERA_PARAMS" / "ZY20210800001" / "intrin.npy", frames[0].intrinsics)
    return {"all": frames}
