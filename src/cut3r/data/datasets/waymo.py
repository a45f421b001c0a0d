"""Waymo Open Dataset, Perception."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import numpy as np

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import MaskProbabilities, SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.view import RawFrame
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible
from cut3r.io.depth import read_depth
from cut3r.io.hdf5 import hdf5_names, read_hdf5
from cut3r.io.images import read_image

SIDE_LEFT = 4
CAMERAS = (1, 2, 3, SIDE_LEFT)  # never 5, as the original
SIDE = "side"  # the policy of camera 4
INVALID_FILES = "https://drive.google.com/file/d/1xI2SHHoXw1Bm7Lqrn7v56x30stCNuhlv"
CARD = Card(
    slug="waymo",
    label="Waymo",
    title="Waymo Open Dataset, Perception v1.4.2 or v2",
    url="https://github.com/waymo-research/waymo-open-dataset",
    licence="non-commercial, https://waymo.com/open/terms/",
    about="driving, real, outdoors, traffic moves, sparse depth by lidar, five cameras at 10 Hz, 20 s per segment",
    metric=True,
    scenes=798,
    needs=("h5py", "pyarrow"),
    differs=(
        "points go through the world to the pose of their picture, not that of their frame",
        "the distortion of the lens is undone",
        "of several points on a pixel the nearest stays, not the last; none from behind the camera or outside",
        "points that two cameras see count in both",
        "without invalid_files.h5, frames with few points and jumps are found by ourselves",
        "depth is .npz instead of .exr",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/{frame}.jpg",
        "depth": ("{scene}/depth/{frame}.npz", "{scene}/{frame}.exr"),
        "depth_exr": "{scene}/{frame}.exr",  # as the original
        "camera": "{scene}/{frame}.npz",
        "invalid": "{scene}/invalid.json",
        "all_invalid": "invalid_frames.json",
        "published_invalid": "invalid_files.h5",
    }
)


class Waymo(ProcessedDataset):
    """Drives. A scene is what one camera sees of a segment; frames are called "<number>_<camera>".

    Frames that invalid_files.h5 lists are left out, or, without that file, those that our converter found invalid.
    Parity: that file must be there, points behind the camera stay (they count as sky), and the cameras of a segment
    come by their first frame.
    """

    card = CARD
    layout = LAYOUT
    policy = SamplingPolicy(max_interval=8, video_prob=0.9, fixed_interval_prob=0.9, block_shuffle=16)
    policies = MappingProxyType(
        {SIDE: SamplingPolicy(max_interval=4, video_prob=0.9, fixed_interval_prob=0.9, block_shuffle=16)}
    )
    masks = MaskProbabilities(0.85, 0.10, 0.05)

    def list_scenes(self) -> Iterator[Scene]:
        invalid = read_invalid(self.root, required=self.parity)
        for folder in (path for path in visible(self.root, "*") if path.is_dir()):
            yield from self._scenes_of(folder.name, invalid.get(folder.name, set()))

    def _scenes_of(self, segment: str, invalid: set[str]) -> list[Scene]:
        frames = [frame for frame in LAYOUT.frames(self.root, "rgb", segment) if frame not in invalid]
        by_camera = {camera: tuple(f for f in frames if f.endswith(f"_{camera}")) for camera in CAMERAS}
        scenes = [
            Scene(
                f"{segment}/{camera}",
                of_camera,
                folder=segment,
                policy=SIDE if camera == SIDE_LEFT else "",
                facts={"camera": camera},
            )
            for camera, of_camera in by_camera.items()
            if of_camera
        ]
        return sorted(scenes, key=lambda scene: scene.frames[0]) if self.parity else scenes

    def made_from(self) -> list[Path]:
        lists = [LAYOUT.path(self.root, kind) for kind in ("published_invalid", "all_invalid")]
        return [self.root, *lists]

    def read(self, scene: Scene, position: int) -> RawFrame:
        depth = read_depth(self.file("depth", scene, position))
        intrinsics, world_from_cam = read_npz(self.file("camera", scene, position), "intrinsics", "cam2world")
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=depth if self.parity else np.maximum(depth, np.float32(0)),
            intrinsics=intrinsics.astype(np.float64),
            world_from_cam=world_from_cam.astype(np.float64),
        )


def read_invalid(root: Path, *, required: bool = False) -> dict[str, set[str]]:
    """Read which frames of which segment are not to be used: of the published list if it is there, else of ours.

    Raises:
        FileNotFoundError: The published list is required and absent.
        ValueError: The list is damaged, or h5py is not installed.
    """
    published, ours = read_published_invalid(root), LAYOUT.path(root, "all_invalid")
    if published is not None:
        return published
    if required:
        path = LAYOUT.path(root, "published_invalid")
        raise FileNotFoundError(f"there is no {path}, which the original needs; download {INVALID_FILES}")
    if not ours.is_file():
        return {}
    with naming_the_file(ours):
        return {segment: set(frames) for segment, frames in json.loads(ours.read_text()).items()}


def read_published_invalid(root: Path) -> dict[str, set[str]] | None:
    """Read invalid_files.h5, which names frames as "<camera>_<number>"; None if it is not there."""
    path = LAYOUT.path(root, "published_invalid")
    if not path.is_file():
        return None
    names = [Path(name) for name in hdf5_names(path)]
    segments = [name.parent.as_posix() for name in names if name.name == "invalid_pairs"]
    return {segment: _frames(read_hdf5(path, f"{segment}/invalid_pairs")) for segment in segments}


def _frames(pairs: np.ndarray) -> set[str]:
    return {"_".join(reversed(pair.split("_"))) for pair in pairs.ravel().tolist()}
