"""MVImgNet."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import SamplingPolicy, UnforgivingPolicy
from cut3r.data.scene import Scene
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible
from cut3r.io.images import read_image

CARD = Card(
    slug="mvimgnet",
    label="MVImgnet",
    title="MVImgNet",
    url="https://github.com/GAP-LAB-CUHK-SZ/MVImgNet",
    licence="MVImgNet terms of use; repository CC BY-NC 4.0",
    about="walks around single objects, real, up to scale, no depth",
    metric=False,
    scenes=219188,
    frames=6500000,
    raw_gb=3400.0,
    corner_shift=-0.5,
    differs=(
        "intrinsics are stored as such, of any perspective camera; the original stores them scrambled",
        "the principal point is at pixel centres (half a pixel)",
        "radial distortion is removed from the pictures",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/rgb/{frame}.jpg",
        "camera": "{scene}/cam/{frame}.npz",
    }
)


class MvImgNet(ProcessedDataset):
    """Walks around single objects. There is no depth: it is 1 everywhere, and only cameras are learnt from.

    Parity: a frame that cannot be read spoils its whole scene.
    """

    card = CARD
    layout = LAYOUT
    splits = (None, "train")
    policy = SamplingPolicy(max_interval=32)
    parity_policy = UnforgivingPolicy(max_interval=32)
    camera_only = True

    def list_scenes(self) -> Iterator[Scene]:
        for folder in visible(self.root, "*"):
            frames = LAYOUT.frames(self.root, "rgb", folder.name)
            if frames:
                yield Scene(folder.name, frames, split="train")

    def read(self, scene: Scene, position: int) -> RawFrame:
        rgb = read_image(self.file("rgb", scene, position))
        pose, stored = read_npz(self.file("camera", scene, position), "pose", "intrinsics")
        scrambled = self.made is None or self.made.parity
        return RawFrame(
            rgb=rgb,
            depth=np.ones(rgb.shape[:2], np.float32),
            intrinsics=self.centred(unscramble(stored) if scrambled else stored.astype(np.float64)),
            world_from_cam=pose.astype(np.float64),
        )


def unscramble(stored: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "3 3"]:
    """Give the intrinsics in a file of the original's converter, which takes COLMAP's f, cx, cy, k for fx, fy, cx, cy.

    It shifts the wrong ones by the fraction of a pixel that rounding the size cuts off, which the files do not say: the
    principal point is right to half a pixel.
    """
    f, cx, cy = stored[0, 0], stored[1, 1], stored[0, 2]
    return np.array([[f, 0, cx], [0, f, cy], [0, 0, 1]])
