"""Camera paths, for several tests."""

import torch

from cut3r.geometry.poses import pose_from_encoding


def paths(seed: int, *, count: int = 2, views: int = 5) -> torch.Tensor:
    """Random walks that begin at the origin."""
    draw = torch.Generator().manual_seed(seed)
    encoding = 0.3 * torch.randn(count, views, 7, generator=draw).cumsum(dim=1)
    encoding[..., 3] += 3
    encoding[:, 0] = torch.tensor([0.0, 0, 0, 1, 0, 0, 0])
    return pose_from_encoding(encoding)


def still(path: torch.Tensor) -> torch.Tensor:
    return torch.eye(4).expand_as(path)


def similar(path: torch.Tensor, scale: float) -> torch.Tensor:
    scaled = path.clone()
    scaled[..., :3, 3] *= scale
    return scaled
