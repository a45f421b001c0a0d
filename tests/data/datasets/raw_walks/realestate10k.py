from pathlib import Path

import numpy as np

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_fixtures import save_image
from tests.data.datasets.raw_walks import render_walk


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames, lines = render_walk((90, 160), frames=3), ["https://www.example.org/watch?v=1#t=3"]
    h, w = frames[0].size
    for number, frame in enumerate(frames):
        time = 990000 + 33367 * number  # from six to seven digits
        save_image(raw / "frames" / "abc" / f"{time}.png", frame.rgb)
        k = frame.intrinsics
        shares = (k[0, 0] / w, k[1, 1] / h, (k[0, 2] + 0.5) / w, (k[1, 2] + 0.5) / h)
        matrix = np.linalg.inv(frame.world_from_cam)[:3].ravel()
        lines.append(" ".join(str(value) for value in (time, *shares, 0, 0, *matrix)))
    (raw / "info").mkdir()
    (raw / "info" / "abc.txt").write_text("\n".join(lines) + "\n")
    return {"abc": frames}
