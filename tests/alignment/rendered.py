"""Walks through rendered rooms as an alignment that is a little wrong, with the pictures that tell the truth."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cut3r.alignment.align import Alignment
from cut3r.alignment.taken import take
from cut3r.data.shading import render
from cut3r.data.synthetic import plan_walk, synthetic_walk
from cut3r.data.walks import WalkConfig
from cut3r.geometry.cameras import pinhole, unproject
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import invert, pose_from_parts
from cut3r.geometry.registration import Similarity
from cut3r.inference.preprocess import FitConfig
from cut3r.io.frame import Frame

SIZE = (240, 320)


@dataclass(frozen=True)
class Scene:
    """Pictures, and the truth about them in the world of the first camera."""

    frames: list[Frame]
    depth: Tensor
    world_from_cam: Tensor
    intrinsics: Tensor

    def disturbed(
        self, *, degrees: float = 1.5, metres: float = 0.04, focal: float = 1.05, noise: float = 0.02, seed: int = 0
    ) -> Alignment:
        """What a graph might say: every camera but the first is off, the focal length too, and depth by 2 %."""
        n, generator = len(self.frames), torch.Generator().manual_seed(seed)
        taken = take(iter(self.frames), FitConfig(size=self.frames[0].rgb.shape[1]))

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).double()

        axes = torch.nn.functional.normalize(normal(n, 3), dim=-1) * np.radians(degrees)
        shifts = torch.nn.functional.normalize(normal(n, 3), dim=-1) * metres
        axes[0], shifts[0] = 0, 0
        poses = self.world_from_cam @ pose_from_parts(rotation_from_vector(axes), shifts)
        depth = self.depth.double() * (1 + noise * normal(n, 1, 1)) * (1 + noise * normal(*self.depth.shape))
        intrinsics = torch.stack([taken.intrinsics.get(k, focal * self.intrinsics) for k in range(n)])
        if focal != 1 and not taken.intrinsics:
            h, w = self.depth.shape[1:]
            intrinsics = pinhole((h, w), self.intrinsics[0, 0] * focal).expand(n, 3, 3).clone()
        # a network's points have the true angles, whatever focal length is made of them later
        points = unproject(depth, self.intrinsics.double().expand(n, 3, 3))
        ones = torch.ones(n, *self.depth.shape[1:])
        report = {"groups": [list(range(n))]}
        before = Similarity(poses[:, :3, :3].float(), poses[:, :3, 3].float(), torch.ones(n))
        return Alignment(
            taken, poses.float(), intrinsics, points.float(), torch.ones(n), ones, ones.bool(), report, before
        )

    def errors(self, aligned: Alignment) -> tuple[float, float, float]:
        """Mean rotation error in degrees and root mean square position error in metres, and the focal's share."""
        from cut3r.metrics.motion import ate, rotation_error

        focal = float((aligned.intrinsics[:, 0, 0] / self.intrinsics[0, 0] - 1).abs().mean())
        turn = float(rotation_error(aligned.world_from_cam, self.world_from_cam).rad2deg())
        return turn, float(ate(aligned.world_from_cam, self.world_from_cam)), focal


def scene(index: int = 3, frames: int = 10, size: tuple[int, int] = SIZE, **walk: float) -> Scene:
    config = WalkConfig(size=size, frames=frames, noise=0.005, blur_px=0.3, **walk)
    made = synthetic_walk(7, index, config)
    first = made.world_from_cam[0].double()
    poses = invert(first) @ made.world_from_cam.double()
    pictures = [Frame(rgb, k, k / 10, f"{k}") for k, rgb in enumerate(made.rgb.numpy())]
    return Scene(pictures, made.depth, poses, made.intrinsics[0])


def without_texture(index: int = 3, frames: int = 8) -> Scene:
    """The same walk through a room of one colour: nothing but shading shows where anything is."""
    config = WalkConfig(size=SIZE, frames=frames)
    plan = plan_walk(7, index, config)
    grey = torch.full_like(plan.room.materials.palette, 0.5)
    plain = replace(plan.room.materials, palette=grey, detail=torch.zeros_like(plan.room.materials.detail))
    _, depth = render(plan.room, plan.world_from_cam, plan.intrinsics, SIZE, plan.time_s)
    rgb, _ = render(replace(plan.room, materials=plain), plan.world_from_cam, plan.intrinsics, SIZE, plan.time_s)
    pictures = [
        Frame(picture, k, k / 10, f"{k}") for k, picture in enumerate((rgb * 255).round().to(torch.uint8).numpy())
    ]
    poses = invert(plan.world_from_cam[0].double()) @ plan.world_from_cam.double()
    return Scene(pictures, depth, poses, plan.intrinsics[0])
