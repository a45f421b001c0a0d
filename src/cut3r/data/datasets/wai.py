"""Datasets in the WAI format, as the MapAnything project prepares them: a folder per scene, with scene_meta.json."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from cut3r.data.card import Card
from cut3r.data.layout import Layout
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.shot import Size, pinhole_frame, read_metres, resize_nearest
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible
from cut3r.io.images import read_image
from cut3r.io.scene_meta import SceneMeta

META = "scene_meta.json"
WHITE_FROM = 128  # greys of a mask that count as white
CARD = Card(
    slug="wai",
    label="WAI",
    title="WAI format",
    url="https://github.com/facebookresearch/map-anything",
    licence="that of each set",
    about="sets that the MapAnything project has prepared",
    metric=False,  # each scene says it
)
LAYOUT = Layout({"meta": "{scene}/scene_meta.json"})


@dataclass
class WaiConfig:
    """What the files of a set do not say.

    Modalities are names in `frame_modalities`, those inside of others after a slash: pred_mask/moge2. `depth`: null
    takes depth, or rendered_depth, or the only one whose format is depth. Depth that is black in one of `masks` is
    unknown; what is white in `sky_mask` is sky. `metric`: null takes each scene's scale_type.

    A sample spans up to `max_interval` frames of a scene between neighbours, and a share of `video_prob` are in order:
    for sets of unordered pictures, [large, 0].
    """

    image: str = "image"
    depth: str | None = None
    masks: list[str] = field(default_factory=list)
    sky_mask: str | None = None
    metric: bool | None = None
    max_interval: int = 20
    video_prob: float = 0.8

    def __post_init__(self) -> None:
        if self.max_interval < 1 or not 0 <= self.video_prob <= 1:
            raise ValueError(
                f"data.wai: max_interval {self.max_interval} must be at least 1, and video_prob {self.video_prob} a "
                "share from 0 to 1"
            )


class Wai(ProcessedDataset):
    """A folder of scenes, or of sets that hold scenes. Text files train.txt, val.txt and test.txt beside them may name
    the scenes of a split, one per line; without train.txt, those that no other names are for training."""

    card = CARD
    layout = LAYOUT
    splits = ("train", "val", "test")

    def __init__(self, root: Path, *, config: WaiConfig | None = None, **options: Any) -> None:
        """Open the folder; the options are those of the base class.

        Raises:
            ValueError: The first scene has no picture, depth map or camera that can be used.
        """
        self.config = config or WaiConfig()
        self.policy = SamplingPolicy(max_interval=self.config.max_interval, video_prob=self.config.video_prob)
        super().__init__(root, **options)
        first = self.scenes[0]
        meta = self.data_of(first)
        for modality in self._modalities(meta):
            meta.path(first.frames[0], modality)

    def list_scenes(self) -> Iterator[Scene]:
        split_of = self._split_files()
        unlisted = "" if (self.root / "train.txt").is_file() else "train"
        for path in self._metas():
            meta = SceneMeta.read(path)
            name = path.parent.relative_to(self.root).as_posix()
            split = split_of.get(name, split_of.get(path.parent.name, unlisted))
            yield Scene(name, tuple(meta.frames), split=split, facts={"metric": meta.is_metric})

    def made_from(self) -> list[Path]:
        splits = [self.root / f"{split}.txt" for split in self.splits]
        sets = sorted({path.parent.parent for path in self._metas()} - {self.root})
        return [self.root, *sets, *splits]

    def scene_data(self, scene: Scene) -> SceneMeta:
        return SceneMeta.read(self.file("meta", scene))

    def metric_of(self, scene: Scene) -> bool:
        return bool(scene.facts["metric"]) if self.config.metric is None else self.config.metric

    def read(self, scene: Scene, position: int) -> RawFrame:
        meta, name = self.data_of(scene), scene.frames[position]
        rgb = read_image(meta.path(name, self.config.image))
        size = (rgb.shape[0], rgb.shape[1])
        path = meta.path(name, self._depth(meta))
        depth = resize_nearest(np.maximum(read_metres(path), 0), size, str(path))
        for mask in self.config.masks:
            depth = np.where(read_white(meta.path(name, mask), size), depth, np.float32(0))
        if self.config.sky_mask is not None:
            depth = np.where(read_white(meta.path(name, self.config.sky_mask), size), np.float32(-1), depth)
        return pinhole_frame(rgb, depth, *meta.camera(name))

    def _modalities(self, meta: SceneMeta) -> list[str]:
        sky = [] if self.config.sky_mask is None else [self.config.sky_mask]
        return [self.config.image, self._depth(meta), *self.config.masks, *sky]

    def _depth(self, meta: SceneMeta) -> str:
        return self.config.depth or meta.depth_modality()

    def _metas(self) -> list[Path]:
        return visible(self.root, f"*/{META}") or visible(self.root, f"*/*/{META}")

    def _split_files(self) -> dict[str, str]:
        """The splits of scenes, by name."""
        found: dict[str, str] = {}
        for split in self.splits:
            path = self.root / f"{split}.txt"
            for line in path.read_text().splitlines() if path.is_file() else ():
                if line.strip():
                    found[line.strip()] = split
        return found


def read_white(path: Path, size: Size) -> Bool[np.ndarray, "h w"]:
    """Read a mask for a picture of size (h, w): True where it is white, or 1 if it has nothing brighter.

    Raises:
        ValueError: It has another shape.
    """
    grey = read_image(path).max(axis=2)
    return resize_nearest(grey >= (WHITE_FROM if grey.max() > 1 else 1), size, str(path))
