"""Wrong conventions that readers and converters of datasets fall for, and how each is undone.

A hypothesis says: the frames hold this mistake. `correct` gives the frames as they are meant if it is true.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64

from cut3r.data.view import RawFrame
from cut3r.geometry.cameras import camera_rays
from cut3r.geometry.poses import invert

UNITS = {
    1000.0: "depth in kilometres, poses in metres; or poses in millimetres",
    100.0: "poses in centimetres",
    0.01: "depth in centimetres",
    0.001: "depth in millimetres",
}
HALF_PIXEL = 0.5
LEAST_MIRRORED = 0.75  # pixels; nearer to the middle, both sides are alike
MOST_DISTORTION = 2.0  # a coefficient; no principal point is so near the border


@dataclass(frozen=True)
class Hypothesis:
    """One mistake. `name` is for tables; `looks` completes "the ... look ..." and `check` tells where to repair."""

    name: str
    looks: str
    check: str
    correct: Callable[[RawFrame], RawFrame]
    applies: Callable[[RawFrame], bool] = lambda frame: True  # whether it could be so at all
    factor: float = 1.0  # what the depth is multiplied with


def inverted_pose(frame: RawFrame) -> RawFrame:
    """The pose was cam_from_world."""
    return replace(frame, world_from_cam=invert(torch.from_numpy(frame.world_from_cam)).numpy())


def opengl_axes(frame: RawFrame) -> RawFrame:
    """The camera looked along -z with y up."""
    return replace(frame, world_from_cam=frame.world_from_cam @ np.diag([1.0, -1.0, -1.0, 1.0]))


def ray_depth(frame: RawFrame) -> RawFrame:
    """The depth was the distance from the camera's centre."""
    length = camera_rays(torch.from_numpy(frame.intrinsics), frame.size).norm(dim=-1).numpy()
    return replace(frame, depth=np.where(frame.depth > 0, frame.depth / length, frame.depth).astype(np.float32))


def scaled_depth(frame: RawFrame, factor: float) -> RawFrame:
    """The depth was in another unit than the poses: multiply it."""
    return replace(frame, depth=np.where(frame.depth > 0, frame.depth * factor, frame.depth).astype(np.float32))


def in_unit_of_depth(frame: RawFrame, factor: float) -> RawFrame:
    """`scaled_depth` in the unit of the depth, which leaves the depth map as it is: the same pixels, the same relative
    errors, and no work for each pixel."""
    pose = frame.world_from_cam.copy()
    pose[:3, 3] /= factor
    return replace(frame, world_from_cam=pose)


def transposed_intrinsics(frame: RawFrame) -> RawFrame:
    """The matrix was stored by columns."""
    return replace(frame, intrinsics=np.ascontiguousarray(frame.intrinsics.T))


def swapped_intrinsics(frame: RawFrame) -> RawFrame:
    """x and y of focal length and principal point were confused."""
    order = [1, 0, 2]
    return replace(frame, intrinsics=np.ascontiguousarray(frame.intrinsics[order][:, order]))


def moved_center(frame: RawFrame, pixels: tuple[float, float]) -> RawFrame:
    """The principal point was counted from elsewhere: add (x, y) to it."""
    intrinsics = frame.intrinsics.copy()
    intrinsics[:2, 2] += pixels
    return replace(frame, intrinsics=intrinsics)


def mirrored_center(frame: RawFrame, sides: tuple[bool, bool]) -> RawFrame:
    """The principal point was counted from the last pixel, in (x, y)."""
    intrinsics = frame.intrinsics.copy()
    last = np.array(frame.size[::-1]) - 1
    intrinsics[:2, 2] = np.where(sides, last - intrinsics[:2, 2], intrinsics[:2, 2])
    return replace(frame, intrinsics=intrinsics)


def unscrambled_intrinsics(frame: RawFrame) -> RawFrame:
    """The parameters f, cx, cy, k of a camera with radial distortion were taken for fx, fy, cx, cy."""
    focal, cx, cy = frame.intrinsics[0, 0], frame.intrinsics[1, 1], frame.intrinsics[0, 2]
    return replace(frame, intrinsics=np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1]]))


def scale(factor: float) -> Hypothesis:
    """Depth and poses are in different units: the depth times `factor` fits the poses."""
    number = f"{factor:g}" if factor in UNITS else f"{factor:.3g}"
    reason = UNITS.get(factor, "a unit, or an unknown scale")
    return Hypothesis(
        f"depth x{number}",
        f"the depth does not have the unit of the poses; times {number} it has ({reason})",
        "the converter's unit of depth",
        lambda frame: in_unit_of_depth(frame, factor),
        factor=factor,
    )


def half_pixel(sign: int) -> Hypothesis:
    shift = sign * HALF_PIXEL
    return Hypothesis(
        f"principal point {shift:+g} px",
        f"the principal point looks half a pixel too {'small' if sign > 0 else 'large'}",
        "whether (0, 0) is the centre of the first pixel (ours) or its corner in the converter's intrinsics",
        lambda frame: moved_center(frame, (shift, shift)),
    )


def mirrored(axes: str) -> Hypothesis:
    """The principal point is counted from the right ("x"), from the bottom ("y"), or from both ("x, y")."""
    sides = "x" in axes, "y" in axes
    places = {"x": "the right", "y": "the bottom", "x, y": "the right and the bottom"}
    return Hypothesis(
        f"principal point mirrored in {axes}",
        f"the principal point looks counted from {places[axes]} of the picture",
        "from which corner the converter's cx and cy count, and whether they turn with a picture that is turned",
        lambda frame: mirrored_center(frame, sides),
        lambda frame: bool(np.abs(_by_mirroring(frame, sides))[np.array(sides)].min() > LEAST_MIRRORED),
    )


def _by_mirroring(frame: RawFrame, sides: tuple[bool, bool]) -> Float64[np.ndarray, "2"]:
    moved: Float64[np.ndarray, "2"] = mirrored_center(frame, sides).intrinsics[:2, 2] - frame.intrinsics[:2, 2]
    return moved


AS_GIVEN = Hypothesis("as given", "the frames look right", "nothing", lambda frame: frame)
INVERTED = Hypothesis(
    "pose inverted", "the poses look inverted (cam_from_world)", "the converter's pose", inverted_pose
)
OPENGL = Hypothesis(
    "OpenGL axes",
    "the cameras look along -z with y up (OpenGL axes)",
    "the converter's pose: y and z of the camera must be flipped",
    opengl_axes,
)
INVERTED_OPENGL = Hypothesis(
    "inverted, OpenGL",
    "the poses look inverted (cam_from_world) and of OpenGL axes",
    "the converter's pose: invert it, then flip y and z of the camera",
    lambda frame: opengl_axes(inverted_pose(frame)),
)
RAY_DEPTH = Hypothesis(
    "depth along ray",
    "the depth looks measured along the ray",
    "the converter's depth: divide it by the length of each pixel's ray (x, y, 1)",
    ray_depth,
)
TRANSPOSED = Hypothesis(
    "K transposed",
    "the intrinsics look transposed (stored by columns)",
    "the order of the numbers of K in the converter",
    transposed_intrinsics,
    lambda frame: bool((frame.intrinsics[2, :2] != 0).any()),
)
SWAPPED = Hypothesis(
    "K with x, y swapped",
    "the intrinsics look as if x and y were swapped (fx and fy, cx and cy)",
    "the order of fx, fy, cx, cy, and of width and height, in the converter",
    swapped_intrinsics,
    lambda frame: not np.array_equal(swapped_intrinsics(frame).intrinsics, frame.intrinsics),
)
SCRAMBLED = Hypothesis(
    "K of (f, cx, cy, k)",
    "the intrinsics look scrambled: f, cx, cy, k were taken for fx, fy, cx, cy",
    "the camera model (COLMAP's SIMPLE_RADIAL and SIMPLE_PINHOLE have one focal length) in the converter",
    unscrambled_intrinsics,
    lambda frame: bool(abs(frame.intrinsics[1, 2]) < MOST_DISTORTION),
)
MIRRORED = (mirrored("x"), mirrored("y"), mirrored("x, y"))


def both(first: Hypothesis, second: Hypothesis) -> Hypothesis:
    """Two mistakes at once; `AS_GIVEN` is none."""
    if AS_GIVEN in (first, second):
        return second if first is AS_GIVEN else first
    return Hypothesis(
        f"{first.name}, {second.name}",
        f"{first.looks}, and {second.looks}",
        f"{first.check}, and {second.check}",
        lambda frame: second.correct(first.correct(frame)),
        lambda frame: first.applies(frame) and second.applies(frame),
        first.factor * second.factor,
    )


POSES = (INVERTED, OPENGL, INVERTED_OPENGL)
SCALES = tuple(map(scale, UNITS))
SINGLE = (*POSES, RAY_DEPTH, *SCALES, TRANSPOSED, SWAPPED, SCRAMBLED)
