"""The camera of a frame: what is known of it, or the focal length that fits its points."""

import logging
import statistics
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cut3r.geometry.cameras import image_center, pinhole, unproject
from cut3r.geometry.focal import estimate_focal
from cut3r.inference.pipeline import Prepared
from cut3r.model.prediction import Prediction

logger = logging.getLogger(__name__)

WINDOW = 101  # frames that vote for a shared focal length
FOCAL_RANGE = (0.05, 50.0)  # longer sides of the image; no lens is outside
UNKNOWN_FOCAL = 0.866  # longer sides of the image: sees 60 degrees


@dataclass(frozen=True)
class LensRule:
    """`shared`: the median of the last frames instead of each frame's own. `parity`: the original's principal point."""

    shared: bool = False
    parity: bool = False

    def intrinsics(
        self, prepared: Prepared, focal: float, votes: tuple[float, ...], number: int
    ) -> tuple[Float[Tensor, "3 3"], tuple[float, ...]]:
        """Give the camera in pixels of the network's picture, and the votes for a shared focal length after it.

        Args:
            focal: That fits the frame's points, in pixels; perhaps no number.
            votes: Of the frames before, in longer image sides.
            number: Of the frame, for messages.
        """
        if prepared.frame.intrinsics is not None:
            known = torch.as_tensor(prepared.frame.intrinsics, dtype=torch.float32)
            return prepared.pixel_map.intrinsics_to_image(known), votes
        h, w = prepared.image.shape[:2]
        if self.parity:
            return pinhole((h, w), focal, (float(w // 2), float(h // 2))), ()
        focal /= max(h, w)
        if not FOCAL_RANGE[0] < focal < FOCAL_RANGE[1]:  # also when it is not a number; keep the files usable
            focal = votes[-1] if votes else UNKNOWN_FOCAL
            logger.warning(
                "frame %d: its points fit no pinhole camera, using a focal length of %.2f image sides", number, focal
            )
        votes = (*votes, focal)[-WINDOW:]
        if self.shared:
            focal = statistics.median(votes)
        return pinhole((h, w), focal * max(h, w), image_center((h, w))), votes


def on_rays(
    points: Float[Tensor, "h w 3"], intrinsics: Float[Tensor, "3 3"], valid: Bool[Tensor, "h w"]
) -> Float[Tensor, "h w 3"]:
    """Put valid points of the camera's frame where a given camera sees their pixels, at the depth that they have."""
    return unproject(points[..., 2], intrinsics).where(valid[..., None], points)


def focal_of_trusted(prediction: Prediction, mask: Tensor | None) -> Tensor:
    """The focal length of a frame's own points, in pixels: on the device, which is faster than the host."""
    assert prediction.points_cam is not None and prediction.conf_cam is not None
    trust = prediction.conf_cam[0].float() - 1
    return estimate_focal(
        prediction.points_cam[0].float(), weights=trust if mask is None else trust.masked_fill(~mask, 0.0)
    )


def focal_as_original(prediction: Prediction, _mask: Tensor | None) -> Tensor:
    """The same with equal weights and the original's principal point."""
    assert prediction.points_cam is not None
    points = prediction.points_cam[0].float()
    h, w = points.shape[:2]
    return estimate_focal(points, principal_point=(float(w // 2), float(h // 2)))
