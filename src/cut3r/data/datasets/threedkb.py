"""3D Ken Burns."""

import numpy as np
from jaxtyping import Float32

from cut3r.data.card import Card
from cut3r.data.layout import Layout
from cut3r.data.scene import Scene
from cut3r.data.single_views import DIFFERS, SingleViews
from cut3r.data.transforms import finite
from cut3r.io.depth import read_depth

FARTHEST = 20000.0  # in units of the files; what is beyond is sky or background
UNIT = 1000.0  # of the files, per unit of ours; not metres either, and other ones in other environments
CARD = Card(
    slug="threedkb",
    label="3DKenBurns",
    title="3D Ken Burns",
    url="https://github.com/sniklaus/3d-ken-burns",
    licence="CC BY-NC-SA 4.0",
    about="rendered walks and flights through virtual worlds, single pictures with exact depth up to scale",
    metric=False,
    corner_shift=-0.5,
    differs=(
        "of the four views of a place one is chosen by its name, the same in every conversion (the original draws "
        "them)",
        "the principal point is at pixel centres (half a pixel)",
        "pixels are square in pictures of any shape (published ones are square themselves)",
        "pictures whose depth has another size are left out",
        *DIFFERS,
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/rgb/{frame}.png",
        "depth": "{scene}/depth/{frame}.exr",
        "camera": "{scene}/cam/{frame}.npz",
    }
)


class ThreeDKenBurns(SingleViews):
    """Pictures of virtual worlds. The sky has no depth, because nothing tells it from what is far."""

    card = CARD
    layout = LAYOUT

    def depth(self, scene: Scene, position: int) -> Float32[np.ndarray, "h w"]:
        depth = read_depth(self.file("depth", scene, position))
        return finite(np.where(depth > FARTHEST, np.float32(0), depth) / np.float32(UNIT))
