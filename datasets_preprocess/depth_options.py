"""Options of the converters that compute what their downloads lack: depth and masks of the sky."""

from dataclasses import dataclass, field
from enum import Enum

from datasets_preprocess.colmap_stereo import colmap_missing

VERSION = 1  # of the sweep: a new one says that its depth has changed


class Mvs(Enum):
    auto = "auto"
    colmap = "colmap"
    sweep = "sweep"
    off = "off"


class Sky(Enum):
    off = "off"
    detect = "detect"


@dataclass(frozen=True)
class DepthOptions:
    """What is computed where the download lacks it.

    mvs: who computes missing depth: colmap (with CUDA, on the PATH), sweep (our own, slower), off (nobody); auto takes
        colmap if it can run here.
    sky: whether sky is looked for (detect) in pictures without a mask.
    """

    mvs: Mvs = Mvs.auto
    sky: Sky = Sky.off
    stereo: str = field(init=False)  # what `mvs` stands for on this machine, and the version: part of the records

    def __post_init__(self) -> None:
        missing = colmap_missing() if self.mvs in (Mvs.auto, Mvs.colmap) else ""
        if self.mvs is Mvs.colmap and missing:
            raise ValueError(f"--mvs colmap is not possible here: {missing}; install COLMAP with CUDA, or --mvs sweep")
        chosen = (Mvs.sweep if missing else Mvs.colmap) if self.mvs is Mvs.auto else self.mvs
        object.__setattr__(self, "stereo", f"sweep {VERSION}" if chosen is Mvs.sweep else chosen.name)

    @property
    def by_colmap(self) -> bool:
        return self.stereo == Mvs.colmap.name

    @property
    def computes(self) -> bool:
        return self.stereo != Mvs.off.name
