"""HOI4D."""

import numpy as np
from jaxtyping import Float32

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npy
from cut3r.data.scene import Scene
from cut3r.data.set_sampling import OriginalDraw, UnrelatedPolicy
from cut3r.data.single_views import SingleViews
from cut3r.data.transforms import finite

CARD = Card(
    slug="hoi4d",
    label="HOI4D",
    title="HOI4D",
    url="https://hoi4d.github.io/",
    licence="see the official page",
    about="hands that use objects indoors, filmed from the head with a depth camera, used as single pictures",
    metric=True,
    scenes=4_000,
    frames=2_400_000,
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/rgb/{frame}.png",
        "depth": "{scene}/depth/{frame}.npy",
        "camera": "{scene}/cam/{frame}.npz",
    }
)


class Hoi4d(SingleViews):
    """Pictures of hands and objects."""

    card = CARD
    layout = LAYOUT
    parity_policy = UnrelatedPolicy(OriginalDraw.again)

    def depth(self, scene: Scene, position: int) -> Float32[np.ndarray, "h w"]:
        return finite(read_npy(self.file("depth", scene, position)).astype(np.float32))
