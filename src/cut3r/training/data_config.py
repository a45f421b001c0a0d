"""Settings of the data of a training: the mixture, what samples look like, and what validation sees."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cut3r.data.loader import LoaderConfig
from cut3r.data.sampling import MaskProbabilities
from cut3r.data.walks import WalkConfig

SYNTHETIC = "synthetic"  # the dataset that needs no files


@dataclass
class PathsConfig:
    """Where processed datasets lie: `root / folders[name]`; an absolute folder stands for itself."""

    root: Path = Path("data")
    folders: dict[str, Path] = field(default_factory=dict)

    def folder(self, dataset: str) -> Path:
        return self.root / self.folders.get(dataset, Path(dataset))


@dataclass
class CurriculumStage:
    """From this epoch on, at most `num_views` views per sample, and walks of `motion` times the speed and turning."""

    from_epoch: int
    num_views: int
    motion: float = 1.0


@dataclass
class SyntheticConfig:
    """Walks through procedural rooms; `scenes` different ones, rendered when they are asked for.

    `cache` is a folder that keeps rendered frames, for machines that render more slowly than they learn.
    """

    scenes: int = 1000
    cache: Path | None = None
    walk: WalkConfig = field(default_factory=WalkConfig)
    curriculum: list[CurriculumStage] = field(default_factory=list)


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
class DataConfig:
    """The mixture of a training.

    `samples` is how many samples of each dataset make an epoch; 0 leaves a dataset out. `splits` names the split of
    those that have one. `sizes` are the (h, w) that batches are drawn from, the first half twice as often. Ray maps
    follow the model's convention. `skip_missing` goes on without datasets that have no reader or no folder.

    `masks` is in which shares of the views after the first of a metric sample the network is given the image, the ray
    map, or both; None: as each dataset says, 80, 15 and 5 % for most. From nothing, with ray maps, a network learns to
    read its camera there instead of from images; so begin with [1, 0, 0].
    """

    samples: dict[str, int] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    sizes: list[list[int]] = field(default_factory=lambda: [[224, 224]])
    num_views: int = 4
    masks: list[float] | None = None
    aug_crop: int = 16
    color_jitter: bool = True
    allow_repeat: bool = False
    skip_missing: bool = False
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        if not self.sizes or any(len(size) != 2 for size in self.sizes):
            raise ValueError(f"data.sizes is {self.sizes}; give a list of at least one [h, w]")
        mask_probabilities(self.masks)


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
