"""The motion between two frames of a sequence, from these two alone, and the control with another first frame.

The control: if the motion is read from the first frame, it cannot be found with that of another sequence, and R2 falls
below zero. If R2 stays up, it was guessed from the second frame, or from how cameras usually move.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from cut3r.data.view import image_tensor
from cut3r.metrics.motion import explained, relative_poses
from cut3r.metrics.pooling import Parts
from cut3r.model.encoder import ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs

GAPS = (1, 3, 9)  # frames between the two
CONTROL_GAP = 3


def starts(frames: int, gap: int, most: int) -> list[int]:
    """Choose the first frames of at most so many pairs, spread over the sequence."""
    last = frames - 1 - gap
    count = min(most, last + 1)
    return [round(k * last / max(1, count - 1)) for k in range(max(0, count))]


@torch.inference_mode()
def seen_motion(
    model: Cut3r, first: UInt8[Tensor, "p h w 3"], second: UInt8[Tensor, "p h2 w2 3"]
) -> Float[Tensor, "p 4 4"]:
    """Ask for the pose of each second picture in the frame of the first one's camera, each pair a stream of its own."""
    views = [ViewInput(image_tensor(pictures).to(model.device)) for pictures in (first, second)]
    said = model.rollout(views, outputs=Outputs(points_cam=False)).predictions
    poses = torch.stack([one.world_from_cam for one in said if one.world_from_cam is not None], dim=1)
    return relative_poses(poses, 1)[:, 0].cpu()


def network_parts(
    model: Cut3r, images: UInt8[Tensor, "v h w 3"], first_from_cam: Float[Tensor, "v 4 4"], most: int
) -> Parts:
    """Give the parts of R2 by name and gap ("yaw_1", "forward_9", ...), of at most so many pairs per gap."""
    parts: Parts = {}
    for gap in _possible(len(images)):
        early = torch.tensor(starts(len(images), gap, most))
        said = seen_motion(model, images[early], images[early + gap])
        parts |= _named(explained(said, relative_poses(first_from_cam, gap)[early]), gap)
    return parts


def path_parts(said: Float[Tensor, "v 4 4"], first_from_cam: Float[Tensor, "v 4 4"], most: int) -> Parts:
    """Give the same of pairs out of a path that somebody says."""
    parts: Parts = {}
    for gap in _possible(len(said)):
        early = starts(len(said), gap, most)
        parts |= _named(explained(relative_poses(said, gap)[early], relative_poses(first_from_cam, gap)[early]), gap)
    return parts


def control_parts(
    model: Cut3r,
    other: UInt8[Tensor, "h w 3"],
    images: UInt8[Tensor, "v h2 w2 3"],
    first_from_cam: Float[Tensor, "v 4 4"],
    most: int,
) -> Parts:
    """Give the same of `CONTROL_GAP`, with the picture of another sequence in place of the first frame."""
    early = torch.tensor(starts(len(images), CONTROL_GAP, most), dtype=torch.long)
    if not len(early):
        return {}
    said = seen_motion(model, other.expand(len(early), -1, -1, -1), images[early + CONTROL_GAP])
    return _named(explained(said, relative_poses(first_from_cam, CONTROL_GAP)[early]), CONTROL_GAP)


def _possible(frames: int) -> list[int]:
    return [gap for gap in GAPS if gap < frames]


def _named(parts: Parts, gap: int) -> Parts:
    return {f"{name}_{gap}": part for name, part in parts.items()}
