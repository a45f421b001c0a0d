"""How large a scene is, what is up in it, and where an onlooker sees all of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from cut3r.geometry.gravity import unit, up_of_cameras
from cut3r.viewer.places import Placement
from cut3r.viewer.view import ShownView

SAMPLES = 200  # points of each view: they are in random order, so the first ones are a fair sample
CORE = (5.0, 95.0)  # percent of the points, along each axis, that count as the scene
TURNED = 0.3  # a mean of unit vectors that is shorter than this has no direction
DOWN_DEG = 32.0  # how steeply the onlooker looks down
ALIKE = 1.1  # by which factor extents may differ before sizes are adapted
TILTED = math.cos(math.radians(2))  # smaller changes of what is up turn nobody's world
MARGIN = 0.9  # of the picture that the scene fills
POINT, FRUSTUM = 0.0045, 0.03  # of the usual depth, about the distance between 20,000 points of a view
FAR_FRUSTUM = 0.012  # of the radius: a frustum can be seen from where all of the scene is seen


@dataclass(frozen=True)
class Extent:
    """What a scene takes up, in the world's metres, without the outermost points.

    `points` are a sample inside, and the cameras; `up` is against gravity, `forward` (level) is where the cameras look.
    `depth` is the usual distance from a camera to what it sees, `floor` the height of the lowest points along `up`.
    """

    points: Float64[np.ndarray, "p 3"]
    up: Float64[np.ndarray, "3"]
    forward: Float64[np.ndarray, "3"]
    depth: float

    @property
    def right(self) -> Float64[np.ndarray, "3"]:
        return np.cross(self.forward, self.up)

    @property
    def _box(self) -> Float64[np.ndarray, "2 3"]:
        """Least and greatest coordinates along right, forward and up."""
        inside = self.points @ np.stack((self.right, self.forward, self.up), axis=1)
        return np.stack((inside.min(axis=0), inside.max(axis=0)))

    @property
    def center(self) -> Float64[np.ndarray, "3"]:
        middle: np.ndarray = self._box.mean(axis=0) @ np.stack((self.right, self.forward, self.up))
        return middle

    @property
    def radius(self) -> float:
        """Half the diagonal of the box around it."""
        return max(float(np.linalg.norm(np.ptp(self._box, axis=0))) / 2, 1e-3)

    @property
    def floor(self) -> float:
        return float(self._box[0, 2])

    @property
    def point_size(self) -> float:
        return POINT * self.depth

    @property
    def camera_size(self) -> float:
        return max(FRUSTUM * self.depth, FAR_FRUSTUM * self.radius)

    def is_like(self, other: "Extent") -> bool:
        """Whether what is in proportion to the one suits the other, too."""
        return (
            1 / ALIKE < self.radius / other.radius < ALIKE
            and 1 / ALIKE < self.depth / other.depth < ALIKE
            and float(np.linalg.norm(self.center - other.center)) < (ALIKE - 1) * other.radius
            and float(self.up @ other.up) > TILTED
        )


def extent_of(frames: Sequence[ShownView], placement: Placement, *, confidence: float = 0.0) -> Extent | None:
    """Measure the frames where they stand; None where they have no points.

    Args:
        confidence: Points at or below do not count, unless a frame has no others.
    """
    poses, points, depths = [], [], []
    for frame in frames:
        pose = placement.world_from_frame(frame)
        trusted = frame.points_cam[:SAMPLES][frame.confidence[:SAMPLES] > confidence]
        some = (trusted if len(trusted) else frame.points_cam[:SAMPLES]).astype(np.float64)
        scale = float(np.linalg.norm(pose[:3, 0]))
        poses.append(pose / np.array([scale, scale, scale, 1.0]))
        points.append(some @ pose[:3, :3].T + pose[:3, 3])
        if len(some):
            depths.append(scale * float(np.median(some[:, 2])))
    cloud = np.concatenate(points) if points else np.zeros((0, 3))
    if not len(cloud):
        return None
    cameras = np.stack(poses)
    up = up_of_cameras(cameras)
    forward = _level_forward(cameras, up)
    axes = np.stack((np.cross(forward, up), forward, up), axis=1)
    inside = cloud @ axes
    low, high = np.percentile(inside, CORE, axis=0)
    core = cloud[((inside >= low) & (inside <= high)).all(axis=1)]
    seen = np.concatenate((core if len(core) else cloud, cameras[:, :3, 3]))
    return Extent(seen, up, forward, max(float(np.median(depths)), 1e-3))


def whole_view(
    extent: Extent, fov: float, aspect: float, *, below: float = 0.0
) -> tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]]:
    """Place an onlooker who sees all of the scene from behind and above its cameras: their position, and the point that
    they look at (world, metres).

    Args:
        fov: Of the onlooker, vertical, radians.
        aspect: Width over height of their picture.
        below: Share of the picture's height, at its lower edge, that something else covers.
    """
    down = math.radians(DOWN_DEG)
    ahead = math.cos(down) * extent.forward - math.sin(down) * extent.up
    upward = math.sin(down) * extent.forward + math.cos(down) * extent.up
    high = MARGIN * math.tan(fov / 2)
    free = np.array([high * aspect, high * (1 - below)])
    inside = (extent.points - extent.center) @ np.stack((extent.right, upward, ahead), axis=1)
    away = max(float((np.abs(inside[:, :2]) / free - inside[:, 2:]).max()), 1e-2 * extent.radius)
    shift = -below * math.tan(fov / 2) * away * upward
    return extent.center - away * ahead + shift, extent.center + shift


def nice(length: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not longer."""
    power = 10.0 ** math.floor(math.log10(length))
    return max(step * power for step in (1, 2, 5) if step * power <= length * (1 + 1e-9))


def _level_forward(world_from_cam: Float64[np.ndarray, "n 4 4"], up: Float64[np.ndarray, "3"]) -> np.ndarray:
    forward = world_from_cam[:, :3, 2]
    level = forward - np.outer(forward @ up, up)
    mean = level.mean(axis=0)
    first = level[0] if np.linalg.norm(level[0]) > 1e-3 else np.cross(up, world_from_cam[0, :3, 0])
    return unit(mean if np.linalg.norm(mean) > TURNED else first, fallback=first)
