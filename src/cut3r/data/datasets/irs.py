"""IRS, Indoor Robotics Stereo."""

import numpy as np
from jaxtyping import Float32

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npy
from cut3r.data.scene import Scene
from cut3r.data.single_views import SingleViews
from cut3r.data.transforms import finite

FARTHEST = 200.0  # metres
CARD = Card(
    slug="irs",
    label="irs",
    title="IRS",
    url="https://github.com/HKBU-HPML/IRS",
    licence="no licence of the data was found, see the official page",
    about="rendered rooms under many lights, left pictures of stereo pairs with depth by exact disparity",
    metric=True,
    frames=103_316,
    corner_shift=-0.5,
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/rgb/{frame}.png",
        "depth": "{scene}/depth/{frame}.npy",
        "camera": "{scene}/cam/{frame}.npz",
    }
)


class Irs(SingleViews):
    """Pictures of rooms."""

    card = CARD
    layout = LAYOUT

    def depth(self, scene: Scene, position: int) -> Float32[np.ndarray, "h w"]:
        depth = read_npy(self.file("depth", scene, position)).astype(np.float32)
        return finite(np.where(depth > FARTHEST, np.float32(0), depth))
