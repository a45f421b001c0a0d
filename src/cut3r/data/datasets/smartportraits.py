"""SmartPortraits."""

import numpy as np
from jaxtyping import Float32

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npy
from cut3r.data.scene import Scene
from cut3r.data.single_views import SingleViews
from cut3r.data.transforms import finite

CARD = Card(
    slug="smartportraits",
    label="SmartPortraits",
    title="SmartPortraits",
    url="https://mobileroboticsskoltech.github.io/SmartPortraits/",
    licence="see the official page",
    about="people who stand or sit still, filmed indoors by a phone and a depth camera, used as single pictures",
    metric=True,
    scenes=1_000,
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/rgb/{frame}.png",
        "depth": "{scene}/depth/{frame}.npy",
        "camera": "{scene}/cam/{frame}.npz",
    }
)


class SmartPortraits(SingleViews):
    """Pictures of people."""

    card = CARD
    layout = LAYOUT
    splits = ("train",)

    def depth(self, scene: Scene, position: int) -> Float32[np.ndarray, "h w"]:
        return finite(read_npy(self.file("depth", scene, position)).astype(np.float32))
