"""UrbanSyn."""

import numpy as np
from jaxtyping import Float32

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npy
from cut3r.data.scene import Scene
from cut3r.data.single_views import DIFFERS, SingleViews, read_sky, with_sky

FARTHEST = 200.0  # metres
CARD = Card(
    slug="urbansyn",
    label="urbansyn",
    title="UrbanSyn",
    url="https://www.urbansyn.org/",
    licence="CC BY-SA 4.0",
    about="rendered streets with traffic, single pictures with exact depth and sky",
    metric=True,
    corner_shift=-0.234375,  # half a pixel of 2048 x 1024, which the converter makes 960 x 480
    differs=(
        "the principal point is at pixel centres (half a raw pixel; files of the original are moved by 0.23)",
        "class pictures may be grey (the original stops)",
        *DIFFERS,
    ),
)
LAYOUT = Layout(
    {
        "rgb": "rgb/{frame}.png",
        "depth": "depth/{frame}.npy",
        "sky": "sky_mask/{frame}.png",
        "camera": "cam/{frame}.npz",
    }
)


class UrbanSyn(SingleViews):
    """Pictures of streets, their sky marked."""

    card = CARD
    layout = LAYOUT

    def depth(self, scene: Scene, position: int) -> Float32[np.ndarray, "h w"]:
        depth = read_npy(self.file("depth", scene, position)).astype(np.float32)
        return with_sky(depth, read_sky(self.file("sky", scene, position)), FARTHEST)
