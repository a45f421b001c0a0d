"""Settings of the data of a training: the mixture, what samples look like, and what validation sees."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cut3r.data.datasets.rgbd_folder import RgbdConfig
from cut3r.data.datasets.wai import WaiConfig
from cut3r.data.loader import LoaderConfig
from cut3r.data.sampling import MaskProbabilities
from cut3r.data.walks import WalkConfig

SYNTHETIC = "synthetic"  # the dataset that needs no files
FOOTAGE = "footage"  # the dataset whose truth is a teacher's: `data.footage` as `run.teacher` sees it
RGBD = "rgbd_folder"  # the dataset of one's own recordings


@dataclass
class PathsConfig:
    """Where processed datasets lie: `root / folders[name]`; an absolute folder stands for itself."""

    root: Path = Path("data")
    folders: dict[str, Path] = field(default_factory=dict)

    def folder(self, dataset: str) -> Path:
        return self.root / self.folders.get(dataset, Path(dataset))


@dataclass
class SyntheticConfig:
    """Walks through procedural rooms; `scenes` different ones, rendered when they are asked for.

    `cache` is a folder that keeps rendered walks, for machines that render more slowly than they learn. Neighbours of a
    sample are up to `max_interval` frames of a walk apart.
    """

    scenes: int = 1000
    max_interval: int = 4
    cache: Path | None = None
    walk: WalkConfig = field(default_factory=WalkConfig)


@dataclass
class TeachingConfig:
    """How a teacher (`run.teacher`) goes through `data.footage`, before the training begins.

    It sees `segment` consecutive frames as one stream, of videos `fps` per second (null: all), and forgets them before
    the next. All together it sees at most about `max_frames`; of longer footage, segments that are spread evenly. What
    it says is kept in `folder`, 7 bytes per pixel of the student's size (86 kB per frame at 96 x 128). A pixel whose
    confidence is below `confidence` is no truth; null takes what its file says, or 1.5.
    """

    folder: Path = Path("data/taught")
    fps: float | None = 6.0
    segment: int = 32
    max_frames: int = 20_000
    confidence: float | None = None

    def __post_init__(self) -> None:
        if self.segment < 2 or self.max_frames < self.segment:
            raise ValueError(
                f"data.teaching: segment {self.segment} must be at least 2 frames, and max_frames {self.max_frames} at "
                "least one segment"
            )
        if self.fps is not None and not self.fps > 0:
            raise ValueError(f"data.teaching.fps is {self.fps} and must be above 0; null takes every frame")
        if self.confidence is not None and not self.confidence >= 0:
            raise ValueError(f"data.teaching.confidence is {self.confidence}; give a number from 0, such as 1.5")


@dataclass
class ValidationConfig:
    """Held-out samples of each dataset. The same ones every time, given as images: no error is of a view whose camera
    the network was shown."""

    samples: dict[str, int] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] = (224, 224)
    num_views: int = 4
    seed: int = 42

    def __post_init__(self) -> None:
        self.size = (self.size[0], self.size[1])


@dataclass
class CurriculumStage:
    """A part of a training: the epochs below number `until` that no stage before has taken. What it does not name is as
    the recipe says.

    `size` is the (h, w) of all its batches. `motion` multiplies speed and turning of the walks through synthetic rooms,
    and `max_interval`, `frames` and `scenes` are theirs.
    """

    until: int
    num_views: int | None = None
    batch_size: int | None = None
    motion: float | None = None
    max_interval: int | None = None
    frames: int | None = None
    scenes: int | None = None
    size: list[int] | None = None
    masks: list[float] | None = None

    def __post_init__(self) -> None:
        for name in ("until", "num_views", "batch_size", "max_interval", "frames", "scenes"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} {value} of a stage of data.curriculum must be at least 1")
        if self.motion is not None and not self.motion > 0:
            raise ValueError(f"motion {self.motion} must be above 0; 1 is the walk as configured")
        if self.size is not None and len(self.size) != 2:
            raise ValueError(f"size {self.size} of a stage of data.curriculum must be [h, w]")
        mask_probabilities(self.masks)

    def settings(self, recipe: "DataConfig") -> "DataConfig":
        """Give the settings of this stage alone."""
        motion, walk = self.motion or 1.0, recipe.synthetic.walk
        walk = replace(
            walk,
            speed_m=motion * walk.speed_m,
            turn_deg=motion * walk.turn_deg,
            frames=self.frames or walk.frames,
        )
        return replace(
            recipe,
            curriculum=[],
            num_views=self.num_views or recipe.num_views,
            sizes=[self.size] if self.size else recipe.sizes,
            masks=self.masks or recipe.masks,
            loader=replace(recipe.loader, batch_size=self.batch_size or recipe.loader.batch_size),
            synthetic=replace(
                recipe.synthetic,
                walk=walk,
                max_interval=self.max_interval or recipe.synthetic.max_interval,
                scenes=self.scenes or recipe.synthetic.scenes,
            ),
        )


@dataclass
class DataConfig:
    """The mixture of a training.

    `samples` is how many samples of each dataset make an epoch; 0 leaves a dataset out. `splits` names the split of
    those that have one. `sizes` are the (h, w) that batches are drawn from, the first half twice as often. Ray maps
    follow the model's convention. `skip_missing` goes on without datasets that have no reader or no folder.

    `masks` is in which shares of the views after the first of a metric sample the network is given the image, the ray
    map, or both; None: as each dataset says, 80, 15 and 5 % for most. From nothing, with ray maps, a network learns to
    read its camera there instead of from images; so begin with [1, 0, 0].

    `readers` are the addresses, "module:Class", of readers that are not in this package, by the name of the dataset.
    `metric` names datasets that are read in metres, and trained so, although the recipes have them up to scale:
    mvs_synth, omniobject3d.

    `wai` are the options of sets in the WAI format, by the name of the dataset: "wai", or one whose reader is
    "cut3r.data.datasets.wai:Wai".

    The stages of the `curriculum` come one after the other, then what stands here.

    `footage` are videos, folders of photos or of videos, and patterns of them: what `run.teacher` makes the dataset
    "footage" of.
    """

    samples: dict[str, int] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    readers: dict[str, str] = field(default_factory=dict)
    metric: list[str] = field(default_factory=list)
    sizes: list[list[int]] = field(default_factory=lambda: [[224, 224]])
    num_views: int = 4
    masks: list[float] | None = None
    curriculum: list[CurriculumStage] = field(default_factory=list)
    aug_crop: int = 16
    color_jitter: bool = True
    allow_repeat: bool = False
    skip_missing: bool = False
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    footage: list[str] = field(default_factory=list)
    teaching: TeachingConfig = field(default_factory=TeachingConfig)
    rgbd: RgbdConfig = field(default_factory=RgbdConfig)
    wai: dict[str, WaiConfig] = field(default_factory=dict)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        if not self.sizes or any(len(size) != 2 for size in self.sizes):
            raise ValueError(f"data.sizes is {self.sizes}; give a list of at least one [h, w]")
        mask_probabilities(self.masks)
        if self.samples.get(FOOTAGE) and self.teaching.segment < self.num_views:
            raise ValueError(
                f"data.teaching.segment is {self.teaching.segment} frames, and a sample needs data.num_views "
                f"{self.num_views} of them; raise the one or lower the other"
            )
        for stage in self.curriculum:
            self._check(stage)
        ends = [stage.until for stage in self.curriculum]
        if ends != sorted(set(ends)):
            raise ValueError(f"until {ends} must rise from stage to stage of data.curriculum; put them in order")

    def _check(self, stage: CurriculumStage) -> None:
        if stage.num_views is not None and stage.num_views > self.num_views:
            raise ValueError(
                f"num_views {stage.num_views} of a stage of data.curriculum is above data.num_views {self.num_views}; "
                "raise data.num_views to the largest number of views"
            )
        of_walks = (stage.motion, stage.max_interval, stage.frames, stage.scenes)
        if any(of_walks) and not self.samples.get(SYNTHETIC):
            raise ValueError(
                "motion, max_interval, frames and scenes in data.curriculum change walks through synthetic rooms only, "
                f"and there are none: leave them out, or set data.samples.{SYNTHETIC}"
            )

    def stages(self) -> list["DataConfig"]:
        """Give the settings of each stage of the curriculum, and of what comes after it."""
        return [*(stage.settings(self) for stage in self.curriculum), replace(self, curriculum=[])]

    def stage_number(self, epoch: int) -> int:
        """Tell which of the `stages` an epoch belongs to."""
        return sum(stage.until <= epoch for stage in self.curriculum)


def mask_probabilities(masks: Sequence[float] | None) -> MaskProbabilities | None:
    """Read a setting `masks`.

    Raises:
        ValueError: It is not three shares of one.
    """
    if masks is None:
        return None
    if len(masks) != 3:
        raise ValueError(f"masks {list(masks)} must be the shares of image, rays and both, such as [0.8, 0.15, 0.05]")
    return MaskProbabilities(*map(float, masks))
