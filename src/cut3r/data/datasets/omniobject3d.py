"""OmniObject3D."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.transforms import finite
from cut3r.data.view import RawFrame
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible_folders
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image

logger = logging.getLogger(__name__)

MILLIMETRES = 1000  # the unit of the scans
CARD = Card(
    slug="omniobject3d",
    label="OmniObject3D",
    title="OmniObject3D",
    url="https://omniobject3d.github.io/",
    licence="CC BY 4.0",
    about="scanned objects, rendered before white, exact depth and pose; in metres, but not trained as such",
    metric=False,
    raw_gb=1200.0,
    corner_shift=-0.5,
    differs=(
        "the principal point is at pixel centres (half a pixel)",
        "pixels that the object covers partly are blended over white (the original keeps their colour)",
        "depth is never taken from an alpha channel",
        "depth below 0 is unknown, not sky",
    ),
)
LAYOUT = Layout(
    {
        "scale": "scale.json",
        "rgb": "{scene}/rgb/{frame}.png",
        "depth": "{scene}/depth/{frame}.npy",
        "camera": "{scene}/cam/{frame}.npz",
    }
)


class OmniObject3D(ProcessedDataset):
    """Single objects from all around. Files hold sizes at which the object fills a unit cube; scale.json says how much
    smaller than its scan, in millimetres, each object is there."""

    card = CARD
    layout = LAYOUT
    unit_m = 1.0  # after the division by the scale
    policy = SamplingPolicy(max_interval=100, video_prob=0.0)

    def list_scenes(self) -> Iterator[Scene]:
        """Raises ValueError if scale.json is missing or damaged."""
        scales = read_scales(LAYOUT.path(self.root, "scale"))
        for folder in visible_folders(self.root):
            frames = LAYOUT.frames(self.root, "rgb", folder.name)
            if folder.name not in scales:
                logger.warning("%s: %s is left out, because scale.json lacks it", self.name, folder.name)
                continue
            facts = {"scale": scales[folder.name]}
            yield Scene(folder.name, tuple(sorted(frames, key=number_of)), facts=facts)

    def made_from(self) -> list[Path]:
        return [self.root, LAYOUT.path(self.root, "scale")]

    def read(self, scene: Scene, position: int) -> RawFrame:
        intrinsics, pose = read_npz(self.file("camera", scene, position), "intrinsics", "pose")
        scale = float(scene.facts["scale"])
        world_from_cam = pose.astype(np.float64)
        world_from_cam[:3, 3] /= scale * MILLIMETRES
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=finite(read_depth(self.file("depth", scene, position))) / scale / MILLIMETRES,
            intrinsics=self.centred(intrinsics.astype(np.float64)),
            world_from_cam=world_from_cam,
        )


def number_of(frame: str) -> int:
    """Give the first number in a frame's name, by which frames are sorted: r_2 comes before r_10."""
    return int(next(iter(re.findall(r"\d+", frame)), -1))


def read_scales(path: Path) -> dict[str, float]:
    """Read how much smaller each object is in the files than its scan.

    Raises:
        ValueError: The file is missing or damaged, or a number in it is not above 0.
    """
    if not path.is_file():
        raise ValueError(
            f"there is no {path}, without which sizes are unknown; our converter writes it from the raw data"
        )
    with naming_the_file(path):
        scales = {name: float(scale) for name, scale in json.loads(path.read_text()).items()}
        if wrong := [name for name, scale in scales.items() if not (np.isfinite(scale) and scale > 0)]:
            raise ValueError(f"the scale of {wrong[0]} is {scales[wrong[0]]}; expected a number above 0")
    return scales
