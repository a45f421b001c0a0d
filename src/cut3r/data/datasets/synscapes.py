"""Synscapes."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npy
from cut3r.data.scene import Scene
from cut3r.data.single_views import DIFFERS, SingleViews, read_sky, with_sky

FARTHEST = 200.0  # metres
CARD = Card(
    slug="synscapes",
    label="synscapes",
    title="Synscapes",
    url="https://synscapes.on.liu.se/",
    licence="non-commercial, see the official page",
    about="path-traced streets with traffic, single pictures with exact depth and sky",
    metric=True,
    frames=25_000,
    differs=(
        "pictures whose depth or classes have another size are left out",
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


class Synscapes(SingleViews):
    """Pictures of streets, their sky marked, in the order of their numbers."""

    card = CARD
    layout = LAYOUT

    def list_scenes(self) -> Iterator[Scene]:
        for scene in super().list_scenes():
            yield replace(scene, frames=sorted(scene.frames, key=lambda number: (len(number), number)))

    def depth(self, scene: Scene, position: int) -> Float32[np.ndarray, "h w"]:
        depth = read_npy(self.file("depth", scene, position)).astype(np.float32)
        return with_sky(depth, read_sky(self.file("sky", scene, position)), FARTHEST)
