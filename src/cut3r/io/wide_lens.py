"""Lenses that see more than a plane can hold: the models of Kalibr, Basalt, camodocal and OpenCV's omnidir.

All of them project a ray of length 1 onto a sphere and from there onto a plane; `distortion` holds their own
parameters, then OpenCV's coefficients if there are any. How they are undone is a formula (but for the coefficients).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from cut3r.io.distortion import distorted, undistorted
from cut3r.io.known_cameras import Lens

XI = (-0.999, 100.0)  # -1 would be a camera on its own sphere


@dataclass(frozen=True)
class WideLens(Lens):
    """What they share: `own` has the names and limits of the parameters that come first in `distortion`."""

    own: ClassVar[dict[str, tuple[float, float]]] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        values, limits = self.distortion, self.own.values()
        fits = len(self.own) <= len(values) <= self.most
        if not fits or any(not low <= value <= high for value, (low, high) in zip(values, limits, strict=False)):
            named = ", ".join(f"{name} from {low:g} to {high:g}" for name, (low, high) in self.own.items())
            more = ", k1, k2, p1, p2, ..." if self.most > len(self.own) else ""
            raise ValueError(f"{list(values)} are no {type(self).__name__} lens; expected are {named}{more}")

    @property
    def is_straight(self) -> bool:
        return False


@dataclass(frozen=True)
class Omni(WideLens):
    """A mirror, or a fisheye taken for one: xi, and coefficients k1, k2, p1, p2, k3, ... of the plane.

    Source: Mei and Rives, "Single view point omnidirectional camera calibration from planar grids", 2007.
    """

    own = {"xi": XI}  # noqa: RUF012
    most = 9

    @property
    def middle(self) -> float:
        return 1 / (1 + self.distortion[0])

    def distort(self, rays: Float64[np.ndarray, "p 2"]) -> Float64[np.ndarray, "p 2"]:
        length = np.sqrt(1 + (rays * rays).sum(axis=1, keepdims=True))
        return distorted(rays / (1 + self.distortion[0] * length), self.distortion[1:])

    def rays(self, seen: Float64[np.ndarray, "p 2"]) -> Float64[np.ndarray, "p 3"]:
        plane = undistorted(lambda at: distorted(at, self.distortion[1:]), seen) if any(self.distortion[1:]) else seen
        return _from_sphere(plane, np.ones(len(plane)), self.distortion[0])


@dataclass(frozen=True)
class DoubleSphere(WideLens):
    """xi, alpha. Source: Usenko, Demmel and Cremers, "The Double Sphere Camera Model", 2018."""

    own = {"xi": XI, "alpha": (0.0, 1.0)}  # noqa: RUF012
    most = 2

    @property
    def middle(self) -> float:
        return 1 / (1 + self.distortion[0])

    def distort(self, rays: Float64[np.ndarray, "p 2"]) -> Float64[np.ndarray, "p 2"]:
        xi, alpha = self.distortion
        square = (rays * rays).sum(axis=1, keepdims=True)
        along = xi * np.sqrt(1 + square) + 1
        return rays / (alpha * np.sqrt(square + along * along) + (1 - alpha) * along)

    def rays(self, seen: Float64[np.ndarray, "p 2"]) -> Float64[np.ndarray, "p 3"]:
        xi, alpha = self.distortion
        return _from_sphere(seen, _lifted((seen * seen).sum(axis=1), alpha, 1.0), xi)


@dataclass(frozen=True)
class Eucm(WideLens):
    """The extended unified model: alpha, beta. Source: Khomutenko, Garcia and Martinet, 2016."""

    own = {"alpha": (0.0, 1.0), "beta": (1e-6, math.inf)}  # noqa: RUF012
    most = 2

    def distort(self, rays: Float64[np.ndarray, "p 2"]) -> Float64[np.ndarray, "p 2"]:
        alpha, beta = self.distortion
        square = (rays * rays).sum(axis=1, keepdims=True)
        return rays / (alpha * np.sqrt(beta * square + 1) + 1 - alpha)

    def rays(self, seen: Float64[np.ndarray, "p 2"]) -> Float64[np.ndarray, "p 3"]:
        alpha, beta = self.distortion
        rays = np.column_stack((seen, _lifted((seen * seen).sum(axis=1), alpha, beta)))
        return rays / np.linalg.norm(rays, axis=1, keepdims=True)


@dataclass(frozen=True)
class Fov(WideLens):
    """A fisheye of one angle w, radians. Source: Devernay and Faugeras, "Straight lines have to be straight", 2001."""

    own = {"w": (1e-6, 3.14)}  # noqa: RUF012
    most = 1

    @property
    def middle(self) -> float:
        return 2 * math.tan(self.distortion[0] / 2) / self.distortion[0]

    def distort(self, rays: Float64[np.ndarray, "p 2"]) -> Float64[np.ndarray, "p 2"]:
        tangent, w = np.linalg.norm(rays, axis=1, keepdims=True), self.distortion[0]
        bent = np.arctan(2 * tangent * math.tan(w / 2)) / w
        return rays * np.divide(bent, tangent, out=np.full_like(bent, self.middle), where=tangent > 0)

    def rays(self, seen: Float64[np.ndarray, "p 2"]) -> Float64[np.ndarray, "p 3"]:
        radius, w = np.linalg.norm(seen, axis=1), self.distortion[0]
        angle = np.where(radius * w < math.pi / 2, np.arctan(np.tan(radius * w) / (2 * math.tan(w / 2))), np.nan)
        share = np.divide(np.sin(angle), radius, out=np.ones_like(radius), where=radius > 0)
        return np.column_stack((seen * share[:, None], np.cos(angle)))


WIDE: dict[str, type[WideLens]] = {"omni": Omni, "ds": DoubleSphere, "eucm": Eucm, "fov": Fov}


def _lifted(square: Float64[np.ndarray, "p"], alpha: float, beta: float) -> Float64[np.ndarray, "p"]:
    """The z of a ray whose x and y are a point of the plane, by its squared distance from the middle; nan outside."""
    with np.errstate(invalid="ignore"):
        root = np.sqrt(1 - (2 * alpha - 1) * beta * square)
        return (1 - beta * alpha * alpha * square) / (alpha * root + 1 - alpha)


def _from_sphere(
    plane: Float64[np.ndarray, "p 2"], z: Float64[np.ndarray, "p"], xi: float
) -> Float64[np.ndarray, "p 3"]:
    """Rays of length 1 to where lines from a point, xi behind the centre of the sphere, leave it; nan if nowhere."""
    square = (plane * plane).sum(axis=1)
    with np.errstate(invalid="ignore"):
        along = (z * xi + np.sqrt(z * z + (1 - xi * xi) * square)) / (z * z + square)
    return np.column_stack((along[:, None] * plane, along * z - xi))
