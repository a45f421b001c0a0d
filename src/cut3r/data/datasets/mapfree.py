"""Map-free Relocalization."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float32
from PIL import Image

from cut3r.data.card import Card
from cut3r.data.graph_sampling import GraphPolicy, graph_of, shares
from cut3r.data.layout import Layout, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import Choice, MaskProbabilities, SamplingPolicy, Wanted
from cut3r.data.scene import Graph, Scene
from cut3r.data.transforms import drop_far
from cut3r.data.view import RawFrame
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible
from cut3r.files.pickled import read_pickled
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image

SKY = 127  # grey level of the mask, and above
FARTHEST = 400.0  # metres; what lies beyond is unknown
VIDEO_SHARE = 0.6
VIDEO = "video"  # policy of videos of which nobody says what they see of each other
CARD = Card(
    slug="mapfree",
    label="MapFree",
    title="Map-free Relocalization",
    url="https://research.nianticlabs.com/mapfree-reloc-benchmark/dataset",
    licence="non-commercial terms",
    about="sculptures, signs and other sights outdoors, two phone videos of each, depth by multi-view stereo",
    metric=True,
    scenes=460,
    corner_shift=-0.5,
    differs=(
        "the principal point is at pixel centres (half a pixel)",
        "cameras are those of poses.txt where COLMAP's two models are not in one frame",
        "without metadata.pkl, groups are those of overlaps.npz, both ways around",
        "depth that is not released is COLMAP's own stereo, or computed from the pictures (--mvs off: neither)",
        "frames without depth are not listed; a mask of the sky may be missing, or is made (--sky detect)",
        "groups depend on the number of views of the training, not of whoever came first",
        "a video that is too short for a walk leaves its sample to the group",
    ),
)
LAYOUT = Layout(  # {scene} is <scene>/dense<video>, but of groups and overlaps, which are those of both videos
    {
        "rgb": "{scene}/rgb/{frame}.jpg",
        "camera": "{scene}/cam/{frame}.npz",
        "depth": "{scene}/depth/{frame}.npy",
        "sky": "{scene}/sky_mask/{frame}.jpg",
        "groups": "{scene}/metadata.pkl",
        "overlaps": "{scene}/overlaps.npz",
    }
)
Place = tuple[int, int]  # number of the video, number of the frame


@dataclass(frozen=True)
class VideoOrOverlapPolicy(GraphPolicy):
    """Most samples walk along the anchor's video; the others are drawn from what sees the same as the anchor, which may
    be in both videos, by weight; the anchor has weight 1.

    Parity: 10_mapfree.md quirks 1 and 2. Groups below the largest number of views are left out even when frames may
    repeat. A video that is too short for the views is walked along from all but its last frames.
    """

    video: SamplingPolicy
    video_share: float = VIDEO_SHARE
    parity: bool = False

    def smallest_group(self, wanted: Wanted) -> int:
        return wanted.most if self.parity else wanted.admission

    def choose(self, scene: Scene, entry: int, wanted: Wanted, rng: np.random.Generator) -> Choice:
        anchor = self.anchors(scene, wanted)[entry]
        path = scene.track(0 if scene.tracks is None else int(scene.tracks[anchor]))
        count = len(path) - wanted.cut_off + 1
        starts = len(path[:count]) if self.parity else max(count, 0)
        if rng.random() < self.video_share and (self.parity or starts):
            walk, is_video = self.video.walk(int(rng.choice(starts)), len(path), wanted.num_views, rng)
            return Choice([path[i] for i in walk], is_video)
        neighbours, weights = graph_of(scene).of(anchor)
        members, weights = np.insert(neighbours, 0, anchor), np.insert(weights, 0, 1.0)
        repeat = wanted.allow_repeat or int(np.count_nonzero(weights > 0)) < wanted.num_views
        drawn = rng.choice(members, wanted.num_views, replace=repeat, p=shares(weights))
        return Choice(drawn.tolist(), False)


class MapFree(ProcessedDataset):
    """Sights outdoors. A scene holds two videos, or is one if nobody says what they see of each other; frames without
    depth are left out.

    Parity: what `VideoOrOverlapPolicy` says; every frame must have depth and a mask of the sky.
    """

    card = CARD
    layout = LAYOUT
    policy = VideoOrOverlapPolicy(SamplingPolicy(max_interval=30, video_prob=0.8, block_shuffle=16))
    parity_policy = replace(policy, parity=True)
    policies = MappingProxyType({VIDEO: policy.video})
    masks = MaskProbabilities(0.75, 0.20, 0.05)

    def list_scenes(self) -> Iterator[Scene]:
        for folder in (path for path in visible(self.root, "*") if path.is_dir()):
            places: dict[Place, int] = {}
            frames: list[str] = []
            tracks: list[int] = []
            for dense in visible(folder, "dense*"):
                video = int(dense.name.removeprefix("dense"))
                for frame in self._usable(f"{folder.name}/{dense.name}"):
                    places[video, int(frame.rpartition("_")[2])] = len(frames)
                    frames.append(f"{dense.name}/{frame}")
                    tracks.append(video)
            rows = [row for row in self._rows(folder.name) if row[0] in places and row[1] in places]
            if rows or self.parity:
                pairs = np.array([(places[a], places[b], score) for a, b, score in rows])
                anchors = list(dict.fromkeys(places[a] for a, _, _ in rows))
                graph = Graph.from_pairs(len(frames), pairs)
                yield Scene(folder.name, tuple(frames), graph=graph, anchors=anchors, tracks=tracks)
            elif frames:
                yield from _videos(folder.name, frames, tracks)

    def made_from(self) -> list[Path]:
        # with the folders of the videos, because depth may be put there long after the conversion
        return [
            self.root,
            *(path for depth in ("*", "*/dense*") for path in visible(self.root, depth) if path.is_dir()),
        ]

    def read(self, scene: Scene, position: int) -> RawFrame:
        dense, frame = scene.frames[position].split("/")
        folder = f"{scene.path}/{dense}"
        intrinsics, pose = read_npz(LAYOUT.path(self.root, "camera", folder, frame), "intrinsic", "pose")
        depth = read_depth(LAYOUT.path(self.root, "depth", folder, frame))
        return RawFrame(
            rgb=read_image(LAYOUT.path(self.root, "rgb", folder, frame)),
            depth=drop_far(self._with_sky(depth, LAYOUT.path(self.root, "sky", folder, frame))),
            intrinsics=self.centred(intrinsics.astype(np.float64)),
            world_from_cam=pose.astype(np.float64),
        )

    def _usable(self, folder: str) -> Iterable[str]:
        pictures = LAYOUT.frames(self.root, "rgb", folder)
        if self.parity:
            return pictures
        others = [set(LAYOUT.frames(self.root, kind, folder)) for kind in ("camera", "depth")]
        return [frame for frame in pictures if all(frame in other for other in others)]

    def _rows(self, scene: str) -> Iterator[tuple[Place, Place, float]]:
        """Give who sees the same as whom, and how much: by the original authors' file if it is there, else by ours."""
        groups = LAYOUT.path(self.root, "groups", scene)
        if groups.is_file():
            content = read_pickled(groups)
            with naming_the_file(groups):
                for place, partners in content.items():
                    yield from ((place, other, float(score)) for other, score in partners)
            return
        overlaps = LAYOUT.path(self.root, "overlaps", scene)
        if overlaps.is_file():
            places, scores = read_npz(overlaps, "places", "scores")
            for (a, b, c, d), score in zip(places.tolist(), scores.tolist(), strict=True):
                yield (a, b), (c, d), score

    def _with_sky(self, depth: Float32[np.ndarray, "h w"], mask: Path) -> Float32[np.ndarray, "h w"]:
        known = np.nan_to_num(np.where(depth > FARTHEST, np.float32(0), depth), nan=0.0, posinf=0.0, neginf=0.0)
        if not (self.parity or mask.is_file()):
            return known
        with naming_the_file(mask), mask.open("rb") as file, Image.open(file) as image:
            grey = np.asarray(image.convert("L"))
            if grey.shape != depth.shape:
                raise ValueError(f"it is of {grey.shape} pixels (h, w), the depth of {depth.shape}")
        return np.where(grey >= SKY, np.float32(-1), known)


def _videos(name: str, frames: list[str], tracks: list[int]) -> Iterator[Scene]:
    for video in dict.fromkeys(tracks):
        own = tuple(frame for frame, track in zip(frames, tracks, strict=True) if track == video)
        yield Scene(f"{name}/dense{video}", own, name, policy=VIDEO)
