"""Batches out of thin air: smooth random scenes, a function of (seed, epoch, number), for tests of the trainer."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from cut3r.data.view import View
from cut3r.geometry.cameras import pinhole, ray_map, unproject
from cut3r.geometry.poses import invert, transform
from cut3r.model.config import DecoderConfig, EncoderConfig, HeadKind, ModelConfig, StateConfig
from cut3r.model.network import Cut3r

SIZE = (16, 32)


def small_network(head: str = "linear", *, state_tokens: int = 4) -> Cut3r:
    """The smallest network of the real architecture, always the same."""
    torch.manual_seed(0)
    return Cut3r(
        ModelConfig(
            head=HeadKind(head),
            image_size=(16, 32),
            encoder=EncoderConfig(width=32, depth=1, heads=2, ray_depth=1, ray_heads=2),
            decoder=DecoderConfig(width=16, depth=4, heads=2, state_heads=2),
            state=StateConfig(tokens=state_tokens, memory_slots=2, memory_depth=1),
            dpt_features=8,
            dpt_stages=(4, 4, 4, 4),
        )
    )


def random_views(seed: int, *, samples: int = 2, views: int = 3, size: tuple[int, int] = SIZE) -> list[View]:
    """Walls with waves, seen by cameras that drift apart; every pixel is valid, so pooled means are means of means."""
    draw = torch.Generator().manual_seed(seed)
    intrinsics = pinhole(size, focal=40.0).expand(samples, 3, 3)
    poses = torch.eye(4).repeat(samples, views, 1, 1)
    poses[:, :, :3, 3] = 0.2 * torch.randn(samples, views, 3, generator=draw).cumsum(1)
    flags = {"has_image": True, "has_rays": False, "update": True, "reset": False, "metric": True}
    flags |= {"camera_only": False, "depth_only": False, "single_view": False}
    made = []
    for number in range(views):
        image = torch.rand(samples, 3, *size, generator=draw) * 2 - 1
        depth = 2 + 0.5 * torch.rand(samples, *size, generator=draw)
        pose = poses[:, number]
        made.append(
            View(
                image=image,
                depth=depth,
                points=transform(pose, unproject(depth, intrinsics)),
                valid=depth > 0,
                sky=depth < 0,
                intrinsics=intrinsics.clone(),
                world_from_cam=pose,
                ray_map=ray_map(invert(poses[:, 0]) @ pose, intrinsics, size, include_translation=True),
                label=[f"fake/{seed}/{sample}" for sample in range(samples)],
                **{name: torch.full((samples,), value) for name, value in flags.items()},
            )
        )
    return made


def some_samples(views: list[View], which: slice) -> list[View]:
    return [replace(view.map(lambda t: t[which]), label=view.label[which]) for view in views]


def with_rays(views: list[View], number: int) -> list[View]:
    """Show the network only the ray map of one view."""
    yes, no = torch.ones_like(views[0].reset), torch.zeros_like(views[0].reset)
    changed = replace(views[number], has_image=no, has_rays=yes, update=no)
    return [*views[:number], changed, *views[number + 1 :]]


class FakeFeed:
    """`length` batches per epoch; process r of w gets part r of every batch (not every w-th batch)."""

    def __init__(
        self,
        *,
        length: int = 4,
        samples: int = 2,
        views: int = 3,
        rank: int = 0,
        world: int = 1,
        seed: int = 0,
        rays: bool = True,
    ) -> None:
        self._length, self.samples, self.views, self.seed, self.rays = length, samples, views, seed, rays
        share = samples // world
        self.part = slice(rank * share, (rank + 1) * share)
        self.spoiled: set[tuple[int, int]] = set()  # (epoch, number) whose images are nan

    def length(self, epoch: int) -> int:
        return self._length

    def batch_size(self, epoch: int) -> int:
        return self.part.stop - self.part.start

    def batches(self, epoch: int, start: int) -> Iterator[list[View]]:
        for number in range(start, self._length):
            views = random_views(1000 * self.seed + 100 * epoch + number, samples=self.samples, views=self.views)
            views = with_rays(views, 1) if self.rays and number % 2 else views
            if (epoch, number) in self.spoiled:
                views = [replace(view, image=torch.full_like(view.image, torch.nan)) for view in views]
            yield some_samples(views, self.part)

    def held_out(self) -> dict[str, Iterator[list[View]]]:
        return {"held_out": iter([some_samples(random_views(77, samples=self.samples), self.part)])}


def weights(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: entry.clone() for name, entry in model.state_dict().items()}
