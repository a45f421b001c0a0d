"""Spring."""

from collections.abc import Iterator

import numpy as np

from cut3r.data.card import Card
from cut3r.data.layout import Layout, read_npz
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import MaskProbabilities, SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.transforms import finite
from cut3r.data.view import RawFrame
from cut3r.files.listing import visible_folders
from cut3r.io.depth import read_depth
from cut3r.io.images import read_image

CARD = Card(
    slug="spring",
    label="spring",
    title="Spring",
    url="https://spring-benchmark.org/",
    licence="see the official page",
    about="scenes of an animated film, indoors and outdoors, depth from stereo disparity, things move",
    metric=True,
    needs=("h5py",),
    differs=(
        "sky is marked by the published maps (the original takes it for very far away)",
        "disparity below 0 is unknown, not sky",
        "optical flow, which nothing reads, is neither needed nor written (--flow)",
        "a frame that is missing or damaged is left out alone (the original ends its sequence there)",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/rgb/{frame}.png",
        "depth": "{scene}/depth/{frame}.npy",
        "camera": "{scene}/cam/{frame}.npz",
        "flow_forward": "{scene}/flow_forward/{frame}.npy",
        "flow_backward": "{scene}/flow_backward/{frame}.npy",
    }
)


class Spring(ProcessedDataset):
    """Scenes of an animated film; the focal length may change from frame to frame."""

    card = CARD
    layout = LAYOUT
    policy = SamplingPolicy(max_interval=16, video_prob=1.0, fixed_interval_prob=1.0)
    masks = MaskProbabilities(0.85, 0.10, 0.05)

    def list_scenes(self) -> Iterator[Scene]:
        for folder in visible_folders(self.root):
            yield Scene(folder.name, LAYOUT.frames(self.root, "rgb", folder.name))

    def read(self, scene: Scene, position: int) -> RawFrame:
        intrinsics, pose = read_npz(self.file("camera", scene, position), "intrinsics", "pose")
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position)),
            depth=finite(read_depth(self.file("depth", scene, position))),
            intrinsics=intrinsics.astype(np.float64),
            world_from_cam=pose.astype(np.float64),
        )
