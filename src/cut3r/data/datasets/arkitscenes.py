"""ARKitScenes with the depth of the tablet's own sensor."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from cut3r.data.card import Card
from cut3r.data.graph_sampling import GraphPolicy, graph_of
from cut3r.data.layout import Layout, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import Choice, MaskProbabilities, SamplingPolicy, Wanted
from cut3r.data.scene import Graph, Scene
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible
from cut3r.files.packed_path import open_root
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image

FOLDERS = {"train": "Training", "test": "Test"}
HIGHRES_FOLDERS = {"train": "Training", "test": "Validation"}
RANDOM_SHARE = 0.8  # of groups that are too small: their frames are drawn anew for each view
CARD = Card(
    slug="arkitscenes",
    label="arkitscenes",
    title="ARKitScenes",
    url="https://github.com/apple/ARKitScenes",
    licence="CC BY-NC-SA 4.0",
    about="rooms, filmed with a hand-held tablet, depth by its own sensor",
    metric=True,
    scenes=5047,
    differs=(
        "principal points turn with the picture",
        "a frame that is missing or damaged is left out alone, not with its video",
        "videos are also looked for in the folder Validation",
        "without the published selection, frames are taken ten times a second, and pairs measured by their depth",
        "a video walks along its own scene; groups of just enough frames do not repeat any",
        "a missing folder of laser depth excludes nothing",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/vga_wide/{frame}.jpg",
        "depth": "{scene}/lowres_depth/{frame}.png",
        "selected": "{scene}/scene_metadata.npz",
        "scene": "{scene}/new_scene_metadata.npz",
        "all": "{scene}/all_metadata.npz",
        "list": "{scene}/scene_list.json",
    }
)
Cameras = tuple[dict[str, int], Float64[np.ndarray, "n 4 4"], Float64[np.ndarray, "n 3 3"]]


@dataclass(frozen=True)
class VideoOrGroupPolicy(GraphPolicy):
    """Half of the samples walk along the video, the others are groups of frames that see the same, in any order.

    Parity: 01_arkitscenes.md quirks 1 and 4. All videos are one scene with a track each. The walk is along the video
    of the image, not of the group, that has the number of the entry; groups of just the right size repeat frames, too.
    """

    video: SamplingPolicy
    parity: bool = False

    def choose(self, scene: Scene, entry: int, wanted: Wanted, rng: np.random.Generator) -> Choice:
        anchor = self.anchors(scene, wanted)[entry]
        if rng.choice(2) == 0:
            path = self._images(scene, wanted)[entry] if self.parity else anchor
            positions = scene.track(0 if scene.tracks is None else int(scene.tracks[path]))
            start = int(rng.choice(len(positions) - wanted.cut_off + 1))
            walk, is_video = self.video.walk(start, len(positions), wanted.num_views, rng)
            return Choice([positions[i] for i in walk], is_video)
        members = sorted({anchor, *graph_of(scene).of(anchor)[0].tolist()})
        return Choice(self._draw(rng.permutation(members), wanted.num_views, rng), False)

    def _draw(self, members: Int[np.ndarray, "k"], num_views: int, rng: np.random.Generator) -> list[int]:
        enough = len(members) > num_views if self.parity else len(members) >= num_views
        if enough:
            return members[:num_views].tolist()
        if rng.random() < RANDOM_SHARE:
            return rng.choice(members, num_views, replace=True).tolist()
        return np.resize(members, num_views).tolist()

    def _images(self, scene: Scene, wanted: Wanted) -> list[int]:
        """List the frames of the videos that take part."""
        tracks = np.asarray(scene.tracks)
        admitted = np.isin(tracks, tracks[self.anchors(scene, wanted)])
        return np.flatnonzero(admitted).tolist()


class ArkitScenes(ProcessedDataset):
    """Rooms, filmed by hand. Videos that also have a laser scanner's depth are left to `ArkitScenesHighres`, if that
    has them. Parity: what `VideoOrGroupPolicy` says."""

    card = CARD
    layout = LAYOUT
    splits = ("train", "test")
    policy = VideoOrGroupPolicy(SamplingPolicy(max_interval=8, video_prob=0.8, block_shuffle=16))
    parity_policy = replace(policy, parity=True)
    masks = MaskProbabilities(0.75, 0.20, 0.05)

    def __init__(self, root: Path, *, highres_root: Path | None = None, **options: Any) -> None:
        """List the videos; the options are those of the base class.

        Args:
            highres_root: The processed folder of `arkitscenes_highres`, whose videos are left out here; None takes
                the folder beside this one whose name ends in "_highres", if there is one.
        """
        beside = Path(root).with_name(f"{Path(root).resolve().name}_highres")
        self.highres_root = open_root(beside if highres_root is None else Path(highres_root))
        super().__init__(root, **options)

    def list_scenes(self) -> Iterator[Scene]:
        for split in self.splits:
            videos = [self._video(split, name) for name in self._names(split)]
            if self.parity and videos:
                yield _one_scene(FOLDERS[split], videos)
            elif not self.parity:
                yield from videos

    def made_from(self) -> list[Path]:
        ours = [self.root / folder for folder in FOLDERS.values()]
        return ours + [self.highres_root / folder for folder in HIGHRES_FOLDERS.values()]

    def _names(self, split: str) -> list[str]:
        folder = self.root / FOLDERS[split]
        taken = {path.name for path in visible(self.highres_root, f"{HIGHRES_FOLDERS[split]}/*")}
        joined = LAYOUT.path(self.root, "all", FOLDERS[split])
        if self.parity and joined.is_file():
            return sorted(set(read_npz(joined, "scenes")[0].tolist()) - taken)
        found = visible(folder, f"*/{LAYOUT.path(self.root, 'scene').name}")
        return [path.parent.name for path in found if path.parent.name not in taken]

    def _video(self, split: str, name: str) -> Scene:
        folder = f"{FOLDERS[split]}/{name}"
        images, pairs = read_npz(LAYOUT.path(self.root, "scene", folder), "images", "pairs")
        frames = tuple(image.removesuffix(".png") for image in images.tolist())
        anchors = list(dict.fromkeys(pairs[:, 0].astype(int).tolist()))
        return Scene(name, frames, folder, split, graph=Graph.from_pairs(len(frames), pairs), anchors=anchors)

    def scene_data(self, scene: Scene) -> Cameras:
        names = ("images", "trajectories", "intrinsics")
        images, poses, intrinsics = read_npz(LAYOUT.path(self.root, "scene", scene.path), *names)
        rows = {image.removesuffix(".png"): row for row, image in enumerate(images.tolist())}
        return rows, poses.astype(np.float64), matrices(intrinsics.astype(np.float64))

    def read(self, scene: Scene, position: int) -> RawFrame:
        frame = scene.frames[position]
        if self.parity:  # the scene holds all videos
            scene = Scene(frame.partition("_")[0], (), f"{scene.path}/{frame.partition('_')[0]}")
        rows, poses, intrinsics = self.data_of(scene)
        return RawFrame(
            rgb=read_image(LAYOUT.path(self.root, "rgb", scene.path, frame)),
            depth=read_depth(LAYOUT.path(self.root, "depth", scene.path, frame)),
            intrinsics=intrinsics[rows[frame]],
            world_from_cam=poses[rows[frame]],
        )


def matrices(rows: Float64[np.ndarray, "n *shape"]) -> Float64[np.ndarray, "n 3 3"]:
    """Give intrinsics as matrices; the original's files hold rows w, h, fx, fy, cx, cy."""
    if rows.shape[1:] == (3, 3):
        return rows
    _, _, fx, fy, cx, cy = rows.T
    zero, one = np.zeros_like(fx), np.ones_like(fx)
    return np.stack((fx, zero, cx, zero, fy, cy, zero, zero, one), axis=-1).reshape(-1, 3, 3)


def _one_scene(name: str, videos: list[Scene]) -> Scene:
    """Join videos; each is a track."""
    starts = np.cumsum([0, *(len(video.frames) for video in videos)]).tolist()
    pairs, anchors, tracks = [], [], []
    for number, (start, video) in enumerate(zip(starts, videos, strict=False)):
        graph = graph_of(video)
        first = np.repeat(np.arange(len(graph)), graph.degrees)
        pairs.append(np.stack((first + start, graph.neighbours + start, graph.weights), axis=-1))
        anchors += [start + anchor for anchor in video.anchors or ()]
        tracks += [number] * len(video.frames)
    frames = tuple(frame for video in videos for frame in video.frames)
    graph = Graph.from_pairs(len(frames), np.concatenate(pairs))
    return Scene(name, frames, split=videos[0].split, graph=graph, anchors=anchors, tracks=tracks)
