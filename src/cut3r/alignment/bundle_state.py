"""Cameras with lenses and points in the world: what a bundle adjustment varies, and how well it explains tracks.

Pixels of the original pictures, metres of the alignment's world, float64.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from cut3r.alignment.guide import Guide
from cut3r.alignment.tracks import Tracks

BEHIND_PX = 1e6  # the error of a point that is behind its camera


@dataclass(frozen=True)
class BundleState:
    """`k1` is the radial distortion of each frame's lens: a ray (x, y, 1) appears at (x, y) (1 + k1 (x^2 + y^2)).

    `lens` numbers the lenses: frames with the same number share one.
    """

    world_from_cam: Float[np.ndarray, "n 4 4"]
    intrinsics: Float[np.ndarray, "n 3 3"]
    k1: Float[np.ndarray, "n"]
    lens: Int[np.ndarray, "n"]
    points: Float[np.ndarray, "t 3"]

    def local(self, tracks: Tracks) -> Float[np.ndarray, "o 3"]:
        """The point of each observation in the frame of its camera."""
        pose = self.world_from_cam[tracks.frame]
        offset = self.points[tracks.track] - pose[:, :3, 3]
        return np.asarray(np.einsum("oji,oj->oi", pose[:, :3, :3], offset))

    def errors(self, tracks: Tracks) -> Float[np.ndarray, "o"]:
        """Distances between observations and where they should be, pixels."""
        local = self.local(tracks)
        ahead = local[:, 2] > 0
        rays = local[:, :2] / np.where(ahead, local[:, 2], 1.0)[:, None]
        rays = rays * (1 + self.k1[tracks.frame] * np.square(rays).sum(axis=1))[:, None]
        camera = self.intrinsics[tracks.frame]
        seen = rays * camera[:, [0, 1], [0, 1]] + camera[:, :2, 2]
        return np.where(ahead, np.linalg.norm(seen - tracks.pixels, axis=1), BEHIND_PX)

    def parallax_deg(self, tracks: Tracks) -> Float[np.ndarray, "t"]:
        """The angle at each point between its first camera and the one that differs most from it."""
        rays = self.points[tracks.track] - self.world_from_cam[tracks.frame, :3, 3]
        rays /= np.linalg.norm(rays, axis=1, keepdims=True).clip(1e-9)
        first = np.searchsorted(tracks.track, tracks.track)
        sine = np.linalg.norm(np.cross(rays, rays[first]), axis=1)
        angle = np.arctan2(sine, (rays * rays[first]).sum(axis=1))
        largest = np.zeros(len(self.points))
        np.maximum.at(largest, tracks.track, angle)
        return np.degrees(largest)


def first_state(guide: Guide, points: Float[np.ndarray, "t 3"], known: set[int], *, shared: bool) -> BundleState:
    """The alignment's cameras with these points.

    Square pixels are made of estimated cameras, one lens for all of one size if `shared`.

    Args:
        known: Frames whose intrinsics are known.
    """
    intrinsics, lens = guide.intrinsics.copy(), np.arange(len(guide))
    sizes = [guide.sizes[k] if k not in known and shared else k for k in range(len(guide))]
    for size in dict.fromkeys(sizes):
        members = [k for k in range(len(guide)) if sizes[k] == size]
        lens[members] = members[0]
        if members[0] not in known:
            focal = np.median(np.sqrt(intrinsics[members, 0, 0] * intrinsics[members, 1, 1]))
            intrinsics[members, 0, 0] = intrinsics[members, 1, 1] = focal
            intrinsics[members, :2, 2] = np.median(intrinsics[members, :2, 2], axis=0)
    return BundleState(guide.world_from_cam.copy(), intrinsics, np.zeros(len(guide)), lens, points)


def guess(guide: Guide, tracks: Tracks) -> Float[np.ndarray, "t 3"]:
    """The median of what the frames of a track say of its point; nan where none says anything."""
    said = np.full((len(tracks.track), 3), np.nan)
    for frame in np.unique(tracks.frame).tolist():
        rows = np.flatnonzero(tracks.frame == frame)
        points, ok = guide.lift(frame, tracks.pixels[rows])
        said[rows[ok]] = guide.to_world(frame, points[ok])
    result = np.full((len(tracks), 3), np.nan)
    for axis in range(3):
        rows = np.flatnonzero(np.isfinite(said[:, axis]))
        order = rows[np.lexsort((said[rows, axis], tracks.track[rows]))]
        track, start, count = np.unique(tracks.track[order], return_index=True, return_counts=True)
        low, high = order[start + (count - 1) // 2], order[start + count // 2]
        result[track, axis] = (said[low, axis] + said[high, axis]) / 2
    return result


def known_points(tracks: Tracks, points: Float[np.ndarray, "t 3"]) -> tuple[Tracks, Float[np.ndarray, "t2 3"]]:
    """Leave out the tracks whose point is unknown."""
    ok = np.isfinite(points).all(axis=1)
    rows = ok[tracks.track]
    _, track = np.unique(tracks.track[rows], return_inverse=True)
    return Tracks(track, tracks.frame[rows], tracks.pixels[rows]), points[ok]
