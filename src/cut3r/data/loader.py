"""Batches of samples of one size and one number of views, in an order that (seed, epoch) alone decides.

Nothing is kept between epochs: `loader.batches(epoch, start)` is all the state there is, so training resumes in the
middle of an epoch by asking for the next batch. Source: common.md C11, training.md 3.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from cut3r.data.dataset import Request
from cut3r.data.mixture import SampleSource, seeded
from cut3r.data.packing import PackedBatch, pack
from cut3r.data.view import CompactView


@dataclass
class LoaderConfig:
    """How samples become batches.

    `min_views` is the least number of views per batch, drawn evenly up to the dataset's `num_views`; with
    `fixed_length` every batch has `num_views`. `same_shape` gives all processes batches of equal size and number of
    views in each step; otherwise each process draws its own. `seed` 0 gives the order of the original. Each worker
    makes `prefetch_factor` batches ahead; they wait in shared memory (/dev/shm), 7 bytes per pixel.
    """

    batch_size: int = 16
    num_workers: int = 8
    prefetch_factor: int = 2
    fixed_length: bool = False
    min_views: int = 4
    same_shape: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.min_views < 1 or self.num_workers < 0:
            raise ValueError(
                f"batch_size {self.batch_size} and min_views {self.min_views} must be at least 1, "
                f"num_workers {self.num_workers} at least 0"
            )
        if self.prefetch_factor < 1:
            raise ValueError(
                f"prefetch_factor {self.prefetch_factor} must be at least 1: batches that a worker makes ahead"
            )


class Loader:
    """The batches of process `rank` of `world`; an incomplete batch or round over the processes is dropped."""

    def __init__(self, source: SampleSource, config: LoaderConfig, *, rank: int = 0, world: int = 1) -> None:
        """Raises ValueError if an epoch has no batch for each process."""
        self.source = source
        self.config = config
        self.rank = rank
        self.world = world
        if len(self) == 0:
            raise ValueError(
                f"{len(source)} samples per epoch do not fill one batch of {config.batch_size} on each of {world} "
                "processes; use a smaller batch or more samples"
            )

    def __len__(self) -> int:
        """Count the batches of an epoch on this process."""
        return len(self.source) // self.config.batch_size // self.world

    def batches(self, epoch: int, start: int = 0) -> Iterator[list[CompactView]]:
        """Load the batches of an epoch from number `start` on: for each, V views of B samples."""
        plan = plan_epoch(self.source, self.config, epoch, world=self.world)[self.rank :: self.world]
        return load(self.source, plan[start : len(self)], self.config)


def plan_in_order(source: SampleSource, batch_size: int) -> list[list[Request]]:
    """List every sample once, in order, at the first size with all views, for validation; the last may be small."""
    requests = [Request(index, source.sizes[0], source.num_views) for index in range(len(source))]
    return [requests[i : i + batch_size] for i in range(0, len(requests), batch_size)]


def plan_epoch(source: SampleSource, config: LoaderConfig, epoch: int, *, world: int = 1) -> list[list[Request]]:
    """List the full batches of an epoch, of all processes: process r takes r, r + world, r + 2 world, ...

    Of several sizes, each of the first half is drawn twice as often as each of the others.
    """
    rng = seeded(config.seed, epoch + 788)
    order = np.arange(len(source))
    rng.shuffle(order)
    count = -(-len(source) // config.batch_size)
    choices = len(source.sizes)
    if choices > 1:
        weights = [2.0] * (choices // 2) + [1.0] * (choices - choices // 2)
        sizes = rng.choice(choices, size=count, p=[weight / sum(weights) for weight in weights])
    else:
        sizes = rng.integers(choices, size=count)
    fewest = source.num_views if config.fixed_length else min(config.min_views, source.num_views)
    views = rng.integers(fewest, source.num_views + 1, size=count)
    plan = []
    for number in range(len(source) // config.batch_size):
        shape = number - number % world if config.same_shape else number
        size, num_views = source.sizes[int(sizes[shape])], int(views[shape])
        members = order[number * config.batch_size : (number + 1) * config.batch_size]
        plan.append([Request(index, size, num_views, epoch) for index in members.tolist()])
    return plan


def load(source: SampleSource, plan: Sequence[list[Request]], config: LoaderConfig) -> Iterator[list[CompactView]]:
    """Load these batches, in order, by the workers of the config; page-locked where there is a GPU."""
    loader: DataLoader[Any] = DataLoader(
        _Samples(source),
        batch_sampler=plan,
        num_workers=config.num_workers,
        prefetch_factor=config.prefetch_factor if config.num_workers else None,
        collate_fn=partial(pack, shared=config.num_workers > 0),
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # its own, because starting the workers draws a number
    )
    return map(PackedBatch.unpack, loader)


class _Samples(Dataset[list[CompactView]]):
    """A source as PyTorch wants it."""

    def __init__(self, source: SampleSource) -> None:
        self.source = source

    def __getitem__(self, request: Request) -> list[CompactView]:
        return self.source.compact(request)
