from pathlib import Path

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_walks import render_walk
from tests.data.datasets.raw_walks.arkitscenes import INTRINSICS, write_video


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames = render_walk((120, 160), INTRINSICS, frames=3)
    write_video(raw / "Training/41000001", frames, "LEFT", "highres_depth", 1)
    write_video(raw / "Validation/41000002", frames, "RIGHT", "highres_depth", 1)
    return {"41000001": frames, "41000002": frames}
