"""Two-dimensional rotary position embedding.

A head's channels split into two halves: the first is rotated by the token's row, the second by its column. Inside a
half of size D, channels j and j + D/2 form a pair that turns by position · base^(-2j/D). The angle is computed, not
looked up, so any integer position works; the pose token sits at (-1, -1).

`rotate` is the definition. Where the kernel of `croco.curope` is built, `rotate_pair` takes it for tensors on a GPU:
the same signature, angles and numbers.

Source: RoFormer (arXiv 2104.09864), extended to two axes.
"""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from croco import curope

Angles = tuple[Tensor, Tensor]  # cos and sin, each [b or 1, 1, n, head_dim], float32

_keeping = threading.local()


def rope_angles(positions: Int[Tensor, "b n 2"], head_dim: int, base: float = 100.0) -> Angles:
    """Cosines and sines for tokens at (row, column) positions; compute them once per image size and reuse them."""
    half = head_dim // 2
    frequencies = base ** (-torch.arange(0, half, 2, device=positions.device, dtype=torch.float32) / half)  # [half / 2]
    angles = positions.float().unsqueeze(-1) * frequencies  # [b, n, 2, half / 2]
    angles = torch.cat((angles, angles), dim=-1).flatten(-2)  # [b, n, head_dim]: row, row, column, column
    return angles.cos().unsqueeze(1), angles.sin().unsqueeze(1)


def rotate(x: Float[Tensor, "b heads n c"], angles: Angles) -> Float[Tensor, "b heads n c"]:
    """Turn queries or keys by their positions, in float32, returned in the type of `x`."""
    cos, sin = angles
    wide = x.float()
    a, b, c, d = wide.chunk(4, dim=-1)  # (a, b) are the pairs of the row half, (c, d) of the column half
    turned = torch.cat((-b, a, -d, c), dim=-1)
    return (wide * cos + turned * sin).to(x.dtype)


def rotate_pair(
    q: Float[Tensor, "b heads n c"],
    k: Float[Tensor, "b heads m c"],
    q_angles: Angles | None,
    k_angles: Angles | None,
) -> tuple[Float[Tensor, "b heads n c"], Float[Tensor, "b heads m c"]]:
    """Turn queries and keys, each by its own angles. A side without angles stays as it is."""
    kernel = curope.kernel_for(q)
    if kernel is not None and q_angles is not None and k_angles is not None:
        return kernel(q, k, q_angles, k_angles)
    return q if q_angles is None else rotate(q, q_angles), k if k_angles is None else rotate(k, k_angles)


def grid_angles(
    grid: tuple[int, int], head_dim: int, base: float, device: torch.device, *, pose_token: bool = False
) -> Angles:
    """Angles of the tokens of an image of (rows, columns) patches, in row-major order.

    With `pose_token`, the angles of a token at (-1, -1) stand in front.
    """
    return _kept(_grid_angles(grid, head_dim, base, device, pose_token))


def state_angles(tokens: int, layout: str, head_dim: int, base: float, device: torch.device) -> Angles | None:
    """Angles of the state tokens; None when they have no positions."""
    angles = _state_angles(tokens, layout, head_dim, base, device)
    return None if angles is None else _kept(angles)


@contextmanager
def keep_tables() -> Iterator[list[Angles]]:
    """List the tables that this thread takes from the caches meanwhile.

    The caches are bounded and forget. Whoever records device work keeps the list as long as the recording: a replay
    runs no Python, and would read tables whose memory has become something else.
    """
    before, _keeping.tables = getattr(_keeping, "tables", None), []
    try:
        yield _keeping.tables
    finally:
        _keeping.tables = before


def _kept(angles: Angles) -> Angles:
    tables: list[Angles] | None = getattr(_keeping, "tables", None)
    if tables is not None:
        tables.append(angles)
    return angles


@lru_cache(maxsize=64)  # bounded: a stream may change its image size as often as it likes
def _grid_angles(grid: tuple[int, int], head_dim: int, base: float, device: torch.device, pose_token: bool) -> Angles:
    with torch.inference_mode(False):  # the cache outlives the call, and training must be able to use what is in it
        rows, columns = (torch.arange(side, device=device) for side in grid)
        positions = torch.cartesian_prod(rows, columns)
        if pose_token:
            positions = torch.cat((positions.new_full((1, 2), -1), positions))
        return rope_angles(positions[None], head_dim, base)


@lru_cache(maxsize=16)
def _state_angles(tokens: int, layout: str, head_dim: int, base: float, device: torch.device) -> Angles | None:
    with torch.inference_mode(False):
        positions = state_positions(tokens, layout)
        return None if positions is None else rope_angles(positions[None].to(device), head_dim, base)


def state_positions(tokens: int, layout: str) -> Int[Tensor, "s 2"] | None:
    """Where the state tokens sit: on a "grid" with an even number of columns, on the diagonal ("line"), or nowhere."""
    index = torch.arange(tokens)
    if layout == "none":
        return None
    if layout == "line":
        return torch.stack((index, index), dim=-1)
    columns = math.isqrt(tokens)
    columns += columns % 2
    return torch.stack((index // columns, index % columns), dim=-1)
