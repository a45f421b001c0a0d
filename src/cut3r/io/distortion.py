"""OpenCV's distortion; and the inverse of distortions for which there is no formula: Newton's method."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

STEPS = 60
FAR = 0.25  # as far as one step may lead, so that it does not leave the part that turns nowhere back
SMALL = 1e-6  # for derivatives
CLOSE = 1e-10  # as a share of a focal length: a millionth of a pixel at 10,000 pixels

Plane = Float64[np.ndarray, "p 2"]


def distorted(rays: Float64[np.ndarray, "p 2"], distortion: tuple[float, ...]) -> Float64[np.ndarray, "p 2"]:
    """OpenCV's model with up to eight coefficients, at depth 1."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*distortion, *(0.0,) * (8 - len(distortion)))
    x, y = rays.T
    r2 = x * x + y * y
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))
    return np.stack(
        (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ),
        axis=1,
    )


def undistorted(distort: Callable[[Plane], Plane], seen: Plane) -> Plane:
    """Find the points of the plane that `distort` maps to `seen`; nan where nothing is found."""
    found = seen.copy()
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            off = distort(found) - seen
            (ux, vx), (uy, vy) = (_slope(distort, found, axis) for axis in (0, 1))
            step = np.stack((vy * off[:, 0] - uy * off[:, 1], ux * off[:, 1] - vx * off[:, 0]), axis=1)
            found = found - _short(step / (ux * vy - uy * vx)[:, None])
        reached = np.abs(distort(found) - seen).max(axis=1) < CLOSE
    return np.where(reached[:, None], found, np.nan)


def angles_of(coefficients: tuple[float, ...], radii: Float64[np.ndarray, "p"]) -> Float64[np.ndarray, "p"]:
    """Find angles whose polynomial a (1 + k1 a^2 + k2 a^4 + ...) is `radii`; nan beyond where that turns back."""
    powers = np.arange(1, 2 * len(coefficients) + 2, 2)
    factors = np.array((1.0, *coefficients))
    found = np.minimum(radii, np.pi / 2)
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            value = (factors * found[:, None] ** powers).sum(axis=1)
            found = found - np.clip((value - radii) / _rise(factors, powers, found), -FAR, FAR)
        value = (factors * found[:, None] ** powers).sum(axis=1)
        sound = (np.abs(value - radii) < CLOSE) & (found >= 0) & (found <= np.pi)
        way = found[:, None] * np.linspace(0, 1, 33)
        rising = (_rise(factors, powers, way.ravel()).reshape(way.shape) > 0).all(axis=1)
    return np.where(sound & rising, found, np.nan)


def _rise(
    factors: Float64[np.ndarray, "k"], powers: np.ndarray, angles: Float64[np.ndarray, "p"]
) -> Float64[np.ndarray, "p"]:
    rise: np.ndarray = (factors * powers * angles[:, None] ** (powers - 1)).sum(axis=1)
    return rise


def _slope(distort: Callable[[Plane], Plane], at: Plane, axis: int) -> tuple[np.ndarray, np.ndarray]:
    shift = SMALL * np.eye(2)[axis]
    slope = (distort(at + shift) - distort(at - shift)) / (2 * SMALL)
    return slope[:, 0], slope[:, 1]


def _short(step: Plane) -> Plane:
    length = np.linalg.norm(step, axis=1, keepdims=True)
    return step * np.minimum(1.0, FAR / np.maximum(length, FAR))
