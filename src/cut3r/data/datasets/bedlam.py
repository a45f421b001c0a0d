"""BEDLAM."""

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

FARTHEST = 200.0  # metres; what is beyond is sky, or nearly
CLOSE_UP = "closeup"  # groups whose pictures are turned by 90 degrees
PANORAMA_GROUPS = (  # people in front of a panorama that has no depth
    "20221010_3_1000_batch01hand",
    "20221017_3_1000_batch01hand",
    "20221018_3-8_250_batch01hand",
    "20221019_3_250_highbmihand",
)
BAD_SEQUENCES = {  # by group; source: 15_bedlam.md
    "20221010_3-10_500_batch01hand_zoom_suburb_d": """
        11 12 13 23 25 29 42 44 45 59 76 80 81 82 83 84 94 97 105 114 119 122 246 249 251 267 268 269 283 284 287 290
        293 297 308 309 311 316 326 327 332 334 348 352 361 368 373 383 396 419 421 425 434""",
    "20221012_3-10_500_batch01hand_zoom_highSchoolGym": "79 486",
    "20221013_3_250_batch01hand_orbit_bigOffice": "120 122 149 161 182 189 192 193 196 207 226",
    "20221013_3_250_batch01hand_static_bigOffice": "15 38",
    "20221014_3_250_batch01hand_orbit_archVizUI3_time15": "86 95 96",
    "20221019_3-8_1000_highbmihand_static_suburb_d": """
        163 177 250 251 279 283 310 317 322 324 453 752 768 779 785 794 796 800 804 811 817 818 827 841 842 856 889 890
        900 904 907 969 978 982""",
    "20221019_3-8_250_highbmihand_orbit_stadium": "3 7 13 16 27 31 36 38 46 62 67 76 85 91 106",
    "20221024_10_100_batch01handhair_zoom_suburb_d": "59 60 64 69 71",
    "20221024_3-10_100_batch01handhair_static_highSchoolGym": "2 4 12 13 17 24 34 43 53 61 63 77 79 82 89 95",
}
BAD = frozenset(f"{group}_seq_{int(n):06d}" for group, numbers in BAD_SEQUENCES.items() for n in numbers.split())
CARD = Card(
    slug="bedlam",
    label="BEDLAM",
    title="BEDLAM",
    url="https://bedlam.is.tue.mpg.de/",
    licence="registration, own terms",
    about="rendered people who move, indoors and outdoors, exact depth and pose",
    metric=True,
    differs=(
        "all sequences of a group are converted, not its first alone",
        "every fifth number is kept, with the camera of that name (the original counts files and rows of the table)",
        "only the four groups with a panorama are left out, not those whose names begin like theirs",
    ),
)
LAYOUT = Layout(
    {
        "rgb": "{scene}/rgb/{frame}.png",
        "depth": "{scene}/depth/{frame}.npy",
        "camera": "{scene}/cam/{frame}.npz",
    }
)


class Bedlam(ProcessedDataset):
    """Rendered people. Parity: groups are left out whose name merely begins like one of those with a panorama."""

    card = CARD
    layout = LAYOUT
    splits = ("train",)
    policy = SamplingPolicy(max_interval=4, video_prob=1.0, fixed_interval_prob=1.0)
    masks = MaskProbabilities(0.85, 0.10, 0.05)

    def list_scenes(self) -> Iterator[Scene]:
        for folder in visible_folders(self.root):
            if is_wanted(folder.name, parity=self.parity):
                yield Scene(folder.name, LAYOUT.frames(self.root, "rgb", folder.name), split="train")

    def read(self, scene: Scene, position: int) -> RawFrame:
        intrinsics, pose = read_npz(self.file("camera", scene, position), "intrinsics", "pose")
        depth = finite(read_depth(self.file("depth", scene, position)))
        return RawFrame(
            rgb=read_image(self.file("rgb", scene, position), parity=True),  # alpha is no part of the picture
            depth=np.where(depth > FARTHEST, np.float32(0), depth),
            intrinsics=intrinsics.astype(np.float64),
            world_from_cam=pose.astype(np.float64),
        )


def is_wanted(name: str, *, parity: bool = False) -> bool:
    """Say whether a sequence, "<group>_seq_<number>", is used."""
    group = name.rpartition("_seq_")[0]
    panorama = name.startswith(PANORAMA_GROUPS) if parity else group in PANORAMA_GROUPS
    return not (panorama or CLOSE_UP in name or name in BAD)
