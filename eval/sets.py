"""Which sets each protocol is scored on: names alone, so that --help answers before readers are imported."""

from dataclasses import dataclass

# Of each set: the file in eval/sequences and its function that opens it.
SETS: dict[str, dict[str, str]] = {
    "monodepth": {
        "sintel": "sintel.open_depth",
        "bonn": "bonn.open_depth",
        "kitti": "kitti.open_depth",
        "nyu": "nyu.open_depth",
        "rooms": "rooms.open_some_depth",
        "rgbd": "rgbd.open_depth",
    },
    "video_depth": {
        "sintel": "sintel.open_depth",
        "bonn": "bonn.open_depth",
        "kitti": "kitti.open_depth",
        "rooms": "rooms.open_depth",
        "rgbd": "rgbd.open_depth",
    },
    "relpose": {
        "sintel": "sintel.open_poses",
        "tum": "tum.open_poses",
        "scannet": "scannet.open_poses",
        "kitti_odometry": "kitti_odometry.open_poses",
        "rooms": "rooms.open_poses",
        "rgbd": "rgbd.open_poses",
    },
    "mv_recon": {
        "sevenscenes": "sevenscenes.open_reconstruction",
        "nrgbd": "nrgbd.open_reconstruction",
        "rooms": "rooms.open_reconstruction",
        "rgbd": "rgbd.open_reconstruction",
    },
    "pose_pairs": {
        "realestate10k": "processed.open_realestate10k",
        "co3d": "processed.open_co3d",
        "sintel": "sintel.open_poses",
        "tum": "tum.open_poses",
        "scannet": "scannet.open_poses",
        "rooms": "rooms.open_poses",
        "rgbd": "rgbd.open_poses",
    },
    "query": {
        "sevenscenes": "sevenscenes.open_views",
        "scannetpp": "processed.open_scannetpp",
        "rooms": "rooms.open_depth",
        "rgbd": "rgbd.open_reconstruction",
    },
}
PROTOCOLS = tuple(SETS)


@dataclass(frozen=True)
class LongVariants:
    """The long variants of a set: every `step`-th frame, and the numbers of frames in published curves."""

    protocol: str
    step: int
    published: tuple[int, ...]

    @property
    def most(self) -> int:
        return max(self.published)


LONG = {
    "bonn": LongVariants("video_depth", 1, (*range(50, 501, 50), 110)),
    "kitti": LongVariants("video_depth", 1, (*range(50, 501, 50), 110)),
    "tum": LongVariants("relpose", 1, (*range(50, 201, 50), *range(300, 1001, 100))),
    "scannet": LongVariants("relpose", 3, (*range(50, 1001, 50), 90)),
    "sevenscenes": LongVariants("mv_recon", 2, tuple(range(50, 501, 50))),
    "nrgbd": LongVariants("mv_recon", 2, tuple(range(50, 501, 50))),
}
