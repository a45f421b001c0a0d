"""BlendedMVS."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from cut3r.data.card import Card
from cut3r.data.graph_sampling import WalkPolicy, graph_of, walk_once, walk_with_repeats
from cut3r.data.layout import Layout, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import Choice, Wanted
from cut3r.data.scene import Graph, Scene
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible
from cut3r.io.depth import read_depth
from cut3r.io.hdf5 import hdf5_names, read_hdf5
from cut3r.io.images import read_image

LEAST_OVERLAP = 0.2  # what two pictures must see of each other to be neighbours; their weight is what goes beyond
CARD = Card(
    slug="blendedmvs",
    label="BlendedMVS",
    title="BlendedMVS",
    url="https://github.com/YoYo000/BlendedMVS",
    licence="CC BY 4.0",
    about="buildings, sculptures and objects, photos blended with renderings of their reconstruction, up to scale",
    metric=False,
    scenes=502,
    needs=("h5py",),  # only where new_overlap.h5 is used
    differs=(
        "without new_overlap.h5, overlaps are measured by depth",
        "a frame from which too few others can be reached leads no sample",
        "a walk that is not found ends (the original may search for ever, or stop)",
        "pictures that the pair list names and the download lacks are reported",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/{frame}.jpg",
        "depth": ("{scene}/{frame}.exr", "{scene}/{frame}.npy"),
        "camera": "{scene}/{frame}.npz",
        "overlap": "{scene}/overlap.npz",
        "published": "new_overlap.h5",
    }
)


@dataclass(frozen=True)
class RestartingWalkPolicy(WalkPolicy):
    """Parity: where no walk begins, the next frame in a random direction is tried. A scene in which more starts fail
    than it has frames beyond the views is given up; so each frame is an entry."""

    def anchors(self, scene: Scene, wanted: Wanted) -> list[int]:
        return list(range(len(scene.frames)))

    def choose(self, scene: Scene, entry: int, wanted: Wanted, rng: np.random.Generator) -> Choice:
        graph, total, start, failed = graph_of(scene), len(scene.frames), entry, set[int]()
        fewest = self.fewest(wanted.num_views, allow_repeat=wanted.allow_repeat)
        while len(failed) <= total - wanted.num_views:
            try:
                if len(reachable(graph, start)) < fewest:
                    raise ValueError("too few frames can be reached")
                if wanted.allow_repeat:
                    return Choice(walk_with_repeats(graph, start, wanted.num_views, fewest, rng), False)
                return Choice(walk_once(graph, start, wanted.num_views, rng), False)
            except ValueError:
                failed.add(start)
            direction = 2 * int(rng.choice(2)) - 1
            others = ((start + direction * step) % total for step in range(1, total))
            start = next((other for other in others if other not in failed), start)
        raise ValueError(f"{len(failed)} of {total} frames begin no walk of {wanted.num_views} views")


class BlendedMvs(ProcessedDataset):
    """Photos without order, in walks from one to another that sees the same: by new_overlap.h5 of the original's
    authors if it is there, else by what our converter has measured. Parity: what `RestartingWalkPolicy` says."""

    card = CARD
    layout = LAYOUT
    splits = ("train",)
    policy = WalkPolicy()
    parity_policy = RestartingWalkPolicy()

    def list_scenes(self) -> Iterator[Scene]:
        published = LAYOUT.path(self.root, "published")
        if published.is_file():
            for name in dict.fromkeys(array.rpartition("/")[0] for array in hdf5_names(published)):
                arrays = (read_hdf5(published, f"{name}/{part}") for part in ("basenames", "indices", "values"))
                yield _scene(name, *arrays)
            return
        for path in visible(self.root, f"*/{LAYOUT.path(self.root, 'overlap').name}"):
            yield _scene(path.parent.name, *read_npz(path, "basenames", "indices", "values"))

    def made_from(self) -> list[Path]:
        return [self.root, LAYOUT.path(self.root, "published")]

    def read(self, scene: Scene, position: int) -> RawFrame:
        names = ("intrinsics", "R_cam2world", "t_cam2world")
        intrinsics, rotation, translation = read_npz(self.file("camera", scene, position), *names)
        world_from_cam = np.eye(4)
        world_from_cam[:3, :3], world_from_cam[:3, 3] = rotation, translation
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=read_depth(self.file("depth", scene, position)),
            intrinsics=intrinsics.astype(np.float64),
            world_from_cam=world_from_cam,
        )


def reachable(graph: Graph, start: int) -> set[int]:
    """Find the frames that walks from a start come to, itself included."""
    found, unseen = {start}, [start]
    while unseen:
        new = set(graph.of(unseen.pop())[0].tolist()) - found
        found |= new
        unseen += new
    return found


def _scene(name: str, frames: np.ndarray, indices: Int[np.ndarray, "2 m"], values: Float[np.ndarray, "m"]) -> Scene:
    weights = values - LEAST_OVERLAP
    kept = np.lexsort((indices[1], indices[0]))
    kept = kept[weights[kept] > 0]
    pairs = np.stack((*indices[:, kept], weights[kept]), axis=-1)
    texts = tuple(frame.decode() if isinstance(frame, bytes) else frame for frame in frames.tolist())
    return Scene(name, texts, split="train", graph=Graph.from_pairs(len(texts), pairs))
