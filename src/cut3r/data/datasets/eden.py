"""EDEN."""

import numpy as np
from jaxtyping import Float, Float32

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npy
from cut3r.data.scene import Scene
from cut3r.data.set_sampling import OriginalDraw, UnrelatedPolicy
from cut3r.data.single_views import SingleViews
from cut3r.data.transforms import finite

FARTHEST = 1000.0  # metres, far beyond what a garden shows
CARD = Card(
    slug="eden",
    label="EDEN",
    title="EDEN",
    url="https://lhoangan.github.io/eden/",
    licence="research, see the official page",
    about="rendered gardens in five kinds of weather and light, single pictures with exact depth",
    metric=True,
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/rgb/{frame}.png",
        "depth": "{scene}/depth/{frame}.npy",
        "camera": "{scene}/cam/{frame}.npz",
    }
)


class Eden(SingleViews):
    """Pictures of gardens. Parity: depth has no limits, and negative depth counts as sky."""

    card = CARD
    layout = LAYOUT
    splits = ("train",)
    parity_policy = UnrelatedPolicy(OriginalDraw.in_line)

    def depth(self, scene: Scene, position: int) -> Float32[np.ndarray, "h w"]:
        depth = read_npy(self.file("depth", scene, position)).astype(np.float64)
        return (finite(depth) if self.parity else within_reach(depth)).astype(np.float32)


def within_reach(depth: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Forget the depth (0) that is negative, no number, or farther than a garden goes."""
    return np.where((depth > 0) & (depth <= FARTHEST), depth, np.zeros_like(depth))
