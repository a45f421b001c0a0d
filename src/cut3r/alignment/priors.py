"""Poses that are known with some error: a pull on the frames of the pose graph towards them.

The pose graph minimises a mean distance of points, the priors are squares in units of their sigma. What makes them
comparable: the points of a pair are wrong together, so that a pair counts as one observation of seven numbers, whose
likelihood falls exponentially with its error: by seven times the error in units of the usual one.

Of a place (rotation R, translation t, scale s) and a known pose (R0, t0), with the motion (turn, shift, log scale) of
the frame in its own camera: the error of the centre is t - t0 and changes by s R shift; that of the rotation is the
vector of R0^T R and changes, for small ones, by the turn.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix, csc_matrix
from torch import Tensor

from cut3r.geometry.lie import vector_from_rotation
from cut3r.geometry.registration import Similarity

PER_PAIR = 7  # numbers that a pair says: turn, shift, scale
FAR = 3.0  # sigma: a pose that is farther off pulls no harder, as it may be plainly wrong


@dataclass(frozen=True)
class PosePriors:
    """Known poses of the frames `at`, and by how much they may be off: metres, radians. `weight` is in units of the
    pose graph's loss."""

    at: Int[Tensor, "k"]
    world_from_cam: Float[Tensor, "k 4 4"]
    sigma: tuple[float, float]
    weight: float = 0.0

    @classmethod
    def of(cls, known: dict[int, Float[Tensor, "4 4"]], sigma: tuple[float, float] | None) -> "PosePriors":
        """Of frames by their number; none without sigma."""
        known = known if sigma else {}
        poses = torch.stack([pose.double() for pose in known.values()]) if known else torch.zeros(0, 4, 4).double()
        return cls(torch.tensor(list(known), dtype=torch.long), poses, sigma or (1.0, 1.0))

    def against(self, residuals: Float[Tensor, "e"]) -> "PosePriors":
        """With the weight that they have beside pairs with these errors (metres)."""
        usual = float(residuals.median()) if len(residuals) else 0.0
        return replace(self, weight=usual / (PER_PAIR * max(len(residuals), 1)))

    def loss(self, place: Similarity) -> float:
        """Half the squared errors in sigma; beyond FAR they only grow like the error."""
        d = self._length(place)
        return self.weight * float(torch.where(d <= FAR, d.square() / 2, FAR * d - FAR**2 / 2).sum())

    def slope(self, place: Similarity) -> tuple[Float[Tensor, "k 7"], Float[Tensor, "k 7"]]:
        """Of the loss by the motion of each frame of `at`: the slope, and the diagonal of the Gauss-Newton matrix."""
        turn, shift = self._errors(place)
        pull = self.weight * (FAR / self._length(place)).clamp(max=1)[:, None]
        (sigma_t, sigma_r), scale = self.sigma, place.scale[self.at, None]
        shift_cam = (place.rotation[self.at].mT @ shift[..., None])[..., 0]
        slope = torch.cat((pull * turn / sigma_r**2, pull * scale * shift_cam / sigma_t**2, 0 * scale), dim=-1)
        ones = torch.ones_like(turn)
        diagonal = torch.cat((pull * ones / sigma_r**2, pull * scale**2 * ones / sigma_t**2, 0 * scale), dim=-1)
        return slope, diagonal

    def missing(self, place: Similarity) -> tuple[Float[Tensor, "k 3"], Float[Tensor, "k 3"], Float[Tensor, "k"]]:
        """How the frames `at` would have to turn and shift in the world, and how much less a square counts if FAR."""
        turn, shift = self._errors(place)
        in_world = (self.world_from_cam[:, :3, :3] @ turn[..., None])[..., 0]
        return -in_world, -shift, (FAR / self._length(place)).clamp(max=1)

    def added(
        self, matrix: csc_matrix, vector: Float[Tensor, "n 7"], place: Similarity
    ) -> tuple[csc_matrix, Float[Tensor, "n 7"]]:
        """The normal equations of all frames, seven unknowns each, with the priors in them."""
        slope, diagonal = self.slope(place)
        rows = (7 * self.at[:, None] + torch.arange(7)).flatten().numpy()
        own = coo_matrix((diagonal.flatten().numpy(), (rows, rows)), shape=matrix.shape)
        return (matrix + own).tocsc(), vector.index_add(0, self.at, slope)

    def _length(self, place: Similarity) -> Float[Tensor, "k"]:
        turn, shift = self._errors(place)
        return torch.cat((turn / self.sigma[1], shift / self.sigma[0]), dim=-1).norm(dim=-1).clamp_min(1e-12)

    def _errors(self, place: Similarity) -> tuple[Float[Tensor, "k 3"], Float[Tensor, "k 3"]]:
        """How far rotations (vectors, radians) and centres (metres, in the world) are from the known ones."""
        turn = vector_from_rotation(self.world_from_cam[:, :3, :3].mT @ place.rotation[self.at])
        return turn, place.translation[self.at] - self.world_from_cam[:, :3, 3]


def check_sigma(sigma: tuple[float, float]) -> None:
    """Raises ValueError for what is no error of a pose."""
    if not all(np.isfinite(value) and value > 0 for value in sigma):
        raise ValueError(
            f"poses with errors of {sigma[0]:g} m and {np.degrees(sigma[1]):g} degrees make no sense; expected are two "
            "numbers above 0; leave the errors out for poses that stay exactly"
        )
