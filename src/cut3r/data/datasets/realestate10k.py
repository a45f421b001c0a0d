"""RealEstate10K."""

from collections.abc import Iterator

import numpy as np

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import SamplingPolicy, UnforgivingPolicy
from cut3r.data.scene import Scene
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible
from cut3r.io.images import read_image

CARD = Card(
    slug="realestate10k",
    label="realestate10k",
    title="RealEstate10K",
    url="https://google.github.io/realestate10k/",
    licence="cameras CC BY 4.0; the videos are YouTube's",
    about="videos of houses, mostly indoors, real, up to scale, no depth",
    metric=False,
    corner_shift=-0.5,
    differs=(
        "the principal point is at pixel centres (half a pixel)",
        "folders without pictures are passed over",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/rgb/{frame}.png",
        "camera": "{scene}/cam/{frame}.npz",
    }
)


class RealEstate10K(ProcessedDataset):
    """Videos of houses. There is no depth: it is 1 everywhere, and only cameras are learnt from.

    Parity: a frame that cannot be read spoils its whole scene.
    """

    card = CARD
    layout = LAYOUT
    policy = SamplingPolicy(max_interval=128)
    parity_policy = UnforgivingPolicy(max_interval=128)
    camera_only = True

    def list_scenes(self) -> Iterator[Scene]:
        for folder in visible(self.root, "*"):
            frames = LAYOUT.frames(self.root, "rgb", folder.name)
            if frames:
                yield Scene(folder.name, tuple(sorted(frames, key=time_of)))

    def read(self, scene: Scene, position: int) -> RawFrame:
        rgb = read_image(self.file("rgb", scene, position))
        pose, intrinsics = read_npz(self.file("camera", scene, position), "pose", "intrinsics")
        return RawFrame(
            rgb=rgb,
            depth=np.ones(rgb.shape[:2], np.float32),
            intrinsics=self.centred(intrinsics.astype(np.float64)),
            world_from_cam=pose.astype(np.float64),
        )


def time_of(frame: str) -> tuple[bool, int, str]:
    """Sort names by the microseconds that they are; whatever is no number comes last."""
    return (False, int(frame), frame) if frame.isdecimal() else (True, 0, frame)
