"""What an exported folder may hold, and which formats there are: what flags must know, without heavy imports."""

from collections.abc import Sequence
from enum import Enum

SCENE = "scene"  # the format of --save scene/


class Part(Enum):
    """What an exported folder may hold; the value is its place in there."""

    pictures = "images"
    colmap = "sparse/0"
    transforms = "transforms.json"
    points = "pointcloud.ply"
    depth = "depth"
    masks = "masks"
    glb = "scene.glb"
    tum = "trajectory.tum"
    kitti = "trajectory.kitti"
    mesh = "mesh.ply"
    mesh_glb = "mesh.glb"
    depth_video = "depth.mp4"
    flight = "flight.mp4"
    rerun = "recording.rrd"


FORMATS = {
    SCENE: (Part.pictures, Part.colmap, Part.transforms, Part.points, Part.depth, Part.masks),
    "colmap": (Part.pictures, Part.colmap, Part.masks),
    "nerfstudio": (Part.pictures, Part.transforms, Part.points, Part.depth, Part.masks),
    "ply": (Part.points,),
    "glb": (Part.glb,),
    "depth": (Part.depth,),
    "masks": (Part.masks,),
    "tum": (Part.tum,),
    "kitti": (Part.kitti,),
    "mesh": (Part.mesh, Part.mesh_glb),
    "video": (Part.depth_video, Part.flight),
    "rerun": (Part.rerun,),
}


LIVE_RERUN = ("spawn", "rerun://", "rerun+http://", "rerun+https://")  # a viewer, behind --export rerun:


def parts_of(formats: Sequence[str]) -> set[Part]:
    return {part for name in formats for part in FORMATS[name]}
