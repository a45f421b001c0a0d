"""Who says the truth, or the truth with a known error: what an evaluation must give is then known, too.

`weights=truth` must have no errors on any set; whoever has, has found a fault of the set or of the protocol.
`weights=truth:0.05` errs by independent Gaussian noise with a standard deviation of 0.05: of depth, focal lengths and
brightness as a share, of points and places of cameras in metres, of their rotations in radians.
"""

import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float32, Float64, UInt8

from cut3r.geometry.cameras import unproject
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import invert, transform
from cut3r.io.images import read_image
from eval.protocols.mv_recon import MultiViewReconstruction, ReconAlignment, ReconOptions
from eval.systems.baselines import Baseline

NAME = "truth"
SURE = 1e-3  # of the confidence: 1 / (SURE + |noise|)


def noise_of(weights: str | None) -> float | None:
    """The noise that `weights=truth` or `truth:0.05` stands for; None for all other weights."""
    match = re.fullmatch(rf"{NAME}(?::(\d+(?:\.\d*)?|\.\d+))?", weights or "")
    return None if match is None else float(match[1] or 0)


@dataclass(frozen=True)
class Truth(Baseline):
    """The truth of one sequence, disturbed; alike each time it is asked for.

    Args:
        size: (h, w) of its points.
        noise: Standard deviation.
    """

    says: ClassVar[tuple[str, ...]] = ("depth", "cameras", "points")
    noise: float = field(default=0.0)

    def depth(self, number: int) -> Float32[np.ndarray, "h w"]:
        assert self.sequence.read_depth is not None
        true = self.sequence.read_depth(number).astype(np.float32)
        known = np.isfinite(true) & (true > 0)
        return np.where(known, true * (1 + self._noise("depth", number, true.shape)), np.nan).astype(np.float32)

    def confidence(self, number: int) -> Float32[np.ndarray, "h w"]:
        """Know the noise of the depth."""
        assert self.sequence.read_depth is not None
        noise = self._noise("depth", number, self.sequence.read_depth(number).shape)
        return (1 / (SURE + np.abs(noise))).astype(np.float32)

    def points(self, number: int) -> Float32[np.ndarray, "h w 3"]:
        view = self._views.view(self.sequence, number)
        points_cam = unproject(torch.from_numpy(view.depth).double(), torch.from_numpy(view.intrinsics).double())
        points = transform(torch.from_numpy(self._first_from_cam[number]), points_cam).numpy()
        return (points + self._noise("points", number, points.shape)).astype(np.float32)

    def cameras(self) -> Float64[np.ndarray, "v 4 4"]:
        cameras = torch.from_numpy(self._first_from_cam).clone()
        turns, moves = (torch.from_numpy(self._noise(kind, 0, (len(self), 3))) for kind in ("turns", "moves"))
        cameras[:, :3, :3] = cameras[:, :3, :3] @ rotation_from_vector(turns)
        cameras[:, :3, 3] += moves
        return cameras.numpy()

    def intrinsics(self) -> Float64[np.ndarray, "v 3 3"] | None:  # type: ignore[override]
        if self.sequence.intrinsics is None or self.sequence.read_depth is not None:
            return None  # in pixels of the depth, not of the pictures
        intrinsics = self.sequence.intrinsics.copy()
        noise = self._noise("focal", 0, (len(self), 2))
        intrinsics[:, 0, 0] *= 1 + noise[:, 0]
        intrinsics[:, 1, 1] *= 1 + noise[:, 1]
        return intrinsics

    def picture(self, number: int) -> UInt8[np.ndarray, "h w 3"]:  # type: ignore[override]
        true = read_image(self.sequence.images[number])
        disturbed = true + 255 * self._noise("picture", number, true.shape)
        return np.clip(np.rint(disturbed), 0, 255).astype(np.uint8)

    def _noise(self, kind: str, number: int, shape: tuple[int, ...]) -> Float64[np.ndarray, "*shape"]:
        seed = hashlib.sha256(f"{self.sequence.name} {kind} {number}".encode()).digest()[:8]
        return self.noise * np.random.default_rng(int.from_bytes(seed)).standard_normal(shape)

    @cached_property
    def _views(self) -> MultiViewReconstruction:
        return MultiViewReconstruction(ReconOptions([ReconAlignment.published]), size=max(self.size))

    @cached_property
    def _first_from_cam(self) -> Float64[np.ndarray, "v 4 4"]:
        """As they are if the first one is not known; nothing then asks for its frame."""
        assert self.sequence.world_from_cam is not None
        cameras = torch.from_numpy(self.sequence.world_from_cam)
        return (invert(cameras[0]) @ cameras if self.sequence.known_cameras()[0] else cameras).numpy()
