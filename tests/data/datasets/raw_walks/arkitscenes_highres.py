from pathlib import Path

from cut3r.data.view import RawFrame
from tests.data.datasets.raw_walks import render_walk
from tests.data.datasets.raw_walks.arkitscenes import INTRINSICS, write_video

FAULT = "principal point looks counted from the right"  # it does not turn with the picture
FAULT_SURVIVES = True


def write_faulty(raw: Path) -> None:
    frames = render_walk((120, 160), INTRINSICS, frames=8, speed=1.0)
    write_video(raw / "Training/41000001", frames, "LEFT", "highres_depth", 1, start=100.001)


def write(raw: Path) -> dict[str, list[RawFrame]]:
    frames = render_walk((120, 160), INTRINSICS, frames=3)
    write_video(raw / "Training/41000001", frames, "LEFT", "highres_depth", 1)
    write_video(raw / "Validation/41000002", frames, "RIGHT", "highres_depth", 1)
    return {"41000001": frames, "41000002": frames}
