"""The network as benchmarks of multi-view models call theirs: a list of views in, a list of dictionaries out.

The convention is that of the external models in MapAnything's benchmark (https://github.com/facebookresearch/map-anything,
Apache-2.0), from its public documentation.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cut3r.geometry.poses import quaternion_from_matrix, transform
from cut3r.io.trajectory import XYZW_FROM_WXYZ
from cut3r.model.encoder import ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs, Prediction
from cut3r.rules import rule_of
from cut3r.weights.checkpoint import load

# How pictures were normalised: (value - mean) / deviation of RGB in [0, 1].
NORMS = {
    "identity": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "dust3r": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "dinov2": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


class MultiViewModel(nn.Module):
    """Reads the views of a batch one after the other, each sample as a stream of its own.

    Args:
        model: The network, or a file, or a name such as 512-dpt.
        name: For tables.
        update: How views change the state, as of `--update`.
    """

    def __init__(self, model: Cut3r | str | Path = "512-dpt", name: str = "cut3r", update: str = "overwrite") -> None:
        super().__init__()
        self.name = name
        self.model = model if isinstance(model, Cut3r) else load(model)
        self.rule = rule_of(update)

    @torch.no_grad()
    def forward(self, views: Sequence[Mapping[str, Any]]) -> list[dict[str, Tensor]]:
        """Predict all views of a batch.

        Args:
            views: Each with `img` (b 3 h w, all of one batch size, sides multiples of 16) and `data_norm_type`, one of
                `NORMS` or a list of it per sample. Whatever else a view brings along (intrinsics, poses, depth) is not
                looked at.

        Returns:
            For each view, in float32: `pts3d` (b h w 3) in the frame of the first camera and `pts3d_cam` in its own,
            OpenCV axes, metres; `ray_directions` (b h w 3) of unit length in its own frame; `depth_along_ray`
            (b h w 1), so that their product is `pts3d_cam`; `cam_trans` (b 3) and `cam_quats` (b 4; x, y, z, w), the
            pose of the camera in the frame of the first one; `conf` (b h w), >= 1.

        Raises:
            ValueError: A view without a picture, of another normalisation or size.
        """
        inputs = [ViewInput(image=self._picture(view, number)) for number, view in enumerate(views)]
        if not inputs:
            raise ValueError("there is no view; expected one or more")
        state = self.model.initial_state(inputs[0].batch_size, self.rule)
        found = []
        for view in inputs:
            prediction, state = self.model.step(state, view, self.model.encode(view), Outputs(), self.rule)
            found.append(as_dictionary(prediction))
        return found

    def _picture(self, view: Mapping[str, Any], number: int) -> Float[Tensor, "b 3 h w"]:
        """RGB in [-1, 1]."""
        image, norm = view.get("img"), view.get("data_norm_type", "identity")
        if not isinstance(image, Tensor) or image.ndim != 4 or image.shape[1] != 3:
            raise ValueError(f"view {number} has no picture; expected 'img', a tensor of shape (b, 3, h, w)")
        names = {norm} if isinstance(norm, str) else set(norm)
        if len(names) != 1 or not names <= NORMS.keys():
            raise ValueError(f"view {number} is normalised as {sorted(names)}; expected one of {', '.join(NORMS)}")
        patch = self.model.config.patch_size
        if image.shape[2] % patch or image.shape[3] % patch:
            h, w = image.shape[2:]
            raise ValueError(f"view {number} has {w}x{h} pixels; expected sides that are multiples of {patch}: 512x384")
        mean, deviation = (image.new_tensor(each).view(3, 1, 1) for each in NORMS[names.pop()])
        return (2 * (image * deviation + mean) - 1).to(self.model.device)


def as_dictionary(prediction: Prediction) -> dict[str, Tensor]:
    """Say a prediction in the words of `MultiViewModel.forward`."""
    points, confidence, pose = prediction.points_cam, prediction.conf_cam, prediction.world_from_cam
    assert points is not None and confidence is not None and pose is not None
    points, pose = points.float(), pose.float()
    distance = points.norm(dim=-1, keepdim=True)
    return {
        "pts3d": transform(pose, points),
        "pts3d_cam": points,
        "ray_directions": points / distance.clamp_min(torch.finfo(points.dtype).tiny),
        "depth_along_ray": distance,
        "cam_trans": pose[:, :3, 3],
        "cam_quats": quaternion_from_matrix(pose[:, :3, :3])[:, XYZW_FROM_WXYZ],
        "conf": confidence.float(),
    }
