"""Batches for tests of the losses: the recorded ones, and random ones."""

from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from cut3r.data.view import View
from cut3r.model.prediction import Prediction
from cut3r.training.losses import LossResult

FOLDER = Path(__file__).parents[1] / "golden" / "loss"
PREDICTED = {  # ours: the original's
    "points_cam": "pts3d_in_self_view",
    "conf_cam": "conf_self",
    "points_world": "pts3d_in_other_view",
    "conf_world": "conf",
    "rgb": "rgb",
    "pose_encoding": "camera_pose",
}
SEEN = {
    "image": "img",
    "depth": "depthmap",
    "points": "pts3d",
    "valid": "valid_mask",
    "sky": "sky_mask",
    "intrinsics": "camera_intrinsics",
    "world_from_cam": "camera_pose",
    "has_image": "img_mask",
    "has_rays": "ray_mask",
    "reset": "reset",
    "metric": "is_metric",
    "camera_only": "camera_only",
    "depth_only": "depth_only",
    "single_view": "single_view",
}


@cache
def arrays(name: str) -> dict[str, torch.Tensor]:
    with np.load(FOLDER / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file}


def recorded(case: str) -> tuple[list[View], list[Prediction]]:
    """A recorded batch; the predictions collect gradients."""
    inputs = arrays(f"{case}__inputs")
    views, predictions = [], []
    while f"view{len(views)}/img" in inputs:
        number = len(views)
        view = {ours: inputs[f"view{number}/{theirs}"] for ours, theirs in SEEN.items()}
        rays = view["points"].new_zeros(*view["depth"].shape, 6)
        views.append(View(**view, ray_map=rays, update=torch.ones_like(view["metric"]), label="recorded"))
        predictions.append(Prediction(**{ours: inputs[f"pred{number}/{theirs}"] for ours, theirs in PREDICTED.items()}))
    return views, learning(predictions)


def random_batch(v: int = 3, b: int = 2, size: tuple[int, int] = (6, 8), *, seed: int = 0, **changes: object):
    """Views of all-valid random points before random cameras, non-metric unless `changes` says so, and noisy
    predictions."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    h, w = size
    views, predictions = [], []
    for _ in range(v):
        q, r = torch.linalg.qr(noise(b, 3, 3))
        rotation = q * r.diagonal(dim1=1, dim2=2).sign().unsqueeze(1)
        rotation = rotation * rotation.det().sign()[:, None, None]
        world_from_cam = torch.eye(4).repeat(b, 1, 1)
        world_from_cam[:, :3, :3], world_from_cam[:, :3, 3] = rotation, noise(b, 3)
        no = torch.zeros(b, dtype=torch.bool)
        view = View(
            image=noise(b, 3, h, w).tanh(),
            depth=torch.ones(b, h, w),
            points=noise(b, h, w, 3) * 2,
            valid=torch.ones(b, h, w, dtype=torch.bool),
            sky=torch.zeros(b, h, w, dtype=torch.bool),
            intrinsics=torch.eye(3).repeat(b, 1, 1),
            world_from_cam=world_from_cam,
            ray_map=torch.zeros(b, h, w, 6),
            **dict.fromkeys(("metric", "camera_only", "depth_only", "single_view", "has_rays", "reset"), no),
            **dict.fromkeys(("has_image", "update"), ~no),
            label="random",
        )
        views.append(replace(view, **changes))
        quaternion = torch.nn.functional.normalize(noise(b, 4), dim=-1)
        predictions.append(
            Prediction(
                points_cam=noise(b, h, w, 3),
                conf_cam=1 + noise(b, h, w).exp(),
                points_world=noise(b, h, w, 3),
                conf_world=1 + noise(b, h, w).exp(),
                rgb=noise(b, h, w, 3).tanh(),
                pose_encoding=torch.cat((noise(b, 3), quaternion * quaternion[:, :1].sign()), dim=-1),
            )
        )
    return views, learning(predictions)


def learning(predictions: list[Prediction]) -> list[Prediction]:
    """Copies that collect gradients."""
    return [
        Prediction(**{name: getattr(p, name).detach().clone().requires_grad_() for name in PREDICTED})
        for p in predictions
    ]


def gradients(result: LossResult, predictions: list[Prediction]) -> dict[str, torch.Tensor]:
    """The gradient of the total with respect to each prediction, all views stacked; zeros where there is none."""
    result.total.backward()
    found = {}
    for name in PREDICTED:
        values = [getattr(prediction, name) for prediction in predictions]
        found[name] = torch.stack([torch.zeros_like(x) if x.grad is None else x.grad for x in values])
    return found


def change(items: list, **changes: object) -> list:
    """Every view or prediction with some fields replaced."""
    assert set(changes) <= {field.name for field in fields(items[0])}
    return [replace(item, **changes) for item in items]
