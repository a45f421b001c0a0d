"""DL3DV-10K."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32
from PIL import Image

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npy, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.transforms import Rescale, Size, drop_far
from cut3r.data.view import RawFrame
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible
from cut3r.io.images import read_image

logger = logging.getLogger(__name__)

MARKED = 127  # grey levels of a mask from here on mark a pixel
CARD = Card(
    slug="dl3dv",
    label="dl3dv",
    title="DL3DV-10K",
    url="https://github.com/DL3DV-10K/Dataset",
    licence="access request, own terms",
    about="videos of places, indoors and outdoors, real, depth by multi-view stereo, up to scale",
    metric=False,
    scenes=10000,
    corner_shift=-0.5,
    differs=(
        "the principal point is at pixel centres (half a pixel)",
        "depth below 0 is unknown, not sky",
        "depth and masks of another size than the picture are brought to its size",
        "frames that lack a file are left out, and so are folders without pictures",
        "missing depth is computed from the pictures; with --mvs off, scenes without any teach cameras only",
        "missing masks are made: outliers are what other views contradict, the sky is empty (--sky detect)",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/dense/rgb/{frame}.png",
        "camera": "{scene}/dense/cam/{frame}.npz",
        "depth": ("{scene}/dense/depth/{frame}.npy", "{scene}/dense/depth/depth/{frame}.npy"),
        "sky": "{scene}/dense/sky_mask/{frame}.png",
        "outlier": "{scene}/dense/outlier_mask/{frame}.png",
    }
)


class Dl3dv(ProcessedDataset):
    """Videos of places with noisy depth; the farthest 2 % of each depth map are forgotten. Of scenes without any depth
    (it is 1 everywhere) only cameras are learnt from.

    Parity: depth below 0 counts as sky; a frame is whatever has a picture.
    """

    card = CARD
    layout = LAYOUT
    splits = ("train",)
    policy = SamplingPolicy(max_interval=20, block_shuffle=25)

    def list_scenes(self) -> Iterator[Scene]:
        for folder in visible(self.root, "*/*"):
            name = folder.relative_to(self.root).as_posix()
            pictured = LAYOUT.frames(self.root, "rgb", name) if folder.is_dir() else ()
            if folder.is_dir() and not pictured:
                logger.warning("%s: %s has no pictures in dense/rgb and is left out", self.name, name)
            camera_only = not (self.parity or LAYOUT.frames(self.root, "depth", name))
            frames = pictured if self.parity else self._complete(name, pictured, camera_only)
            if frames:
                yield Scene(name, frames, split="train", facts={"camera_only": camera_only})

    def made_from(self) -> list[Path]:
        return [self.root, *visible(self.root, "*")]

    def _complete(self, scene: str, pictured: tuple[str, ...], camera_only: bool) -> tuple[str, ...]:
        """Keep the frames that have all of their files."""
        others = ("camera",) if camera_only else ("camera", "depth", "sky", "outlier")
        complete = set(pictured).intersection(*(LAYOUT.frames(self.root, kind, scene) for kind in others))
        if len(complete) < len(pictured):
            lost, total = len(pictured) - len(complete), len(pictured)
            logger.warning(
                "%s: %d of the %d frames of %s lack one of %s and are left out", self.name, lost, total, scene, others
            )
        return tuple(frame for frame in pictured if frame in complete)

    def read(self, scene: Scene, position: int) -> RawFrame:
        rgb = read_image(self.file("rgb", scene, position))
        size = (rgb.shape[0], rgb.shape[1])
        pose, intrinsics = read_npz(self.file("camera", scene, position), "pose", "intrinsic")
        return RawFrame(
            rgb=rgb,
            depth=np.ones(size, np.float32) if scene.facts["camera_only"] else self._depth(scene, position, size),
            intrinsics=self.centred(intrinsics.astype(np.float64)),
            world_from_cam=pose.astype(np.float64),
        )

    def _depth(self, scene: Scene, position: int, size: Size) -> Float32[np.ndarray, "h w"]:
        depth = read_npy(self.file("depth", scene, position)).astype(np.float32)
        depth = np.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0)
        depth = at_size(depth if self.parity else np.maximum(depth, np.float32(0)), size)
        depth[at_size(read_mask(self.file("sky", scene, position)), size)] = -1
        depth[at_size(read_mask(self.file("outlier", scene, position)), size)] = 0  # also of the sky
        return drop_far(depth)


def read_mask(path: Path) -> Bool[np.ndarray, "h w"]:
    """Read a mask, stored as a grey picture.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged.
    """
    with naming_the_file(path), path.open("rb") as file, Image.open(file) as image:
        return np.asarray(image.convert("L")) >= MARKED


def at_size(pixels: np.ndarray, size: Size) -> np.ndarray:
    """Bring depth or a mask to the size of its picture."""
    old = (pixels.shape[0], pixels.shape[1])
    return pixels if old == size else Rescale(old, size, 1.0).nearest(pixels)
