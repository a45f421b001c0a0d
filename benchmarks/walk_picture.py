"""A picture of what a network makes of some sequences: their last frame, and the path of the camera."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import UInt8
from scores import Guess, Truth

from cut3r.files.atomic import atomic_path

matplotlib.use("agg")
from matplotlib import pyplot as plt

LARGEST_ERROR = 0.5  # of the true depth; more has the same colour


@dataclass(frozen=True)
class Example:
    title: str
    images: UInt8[np.ndarray, "v h w 3"]  # as the network sees them
    guess: Guess
    truth: Truth


def draw(examples: list[Example], path: Path) -> None:
    """Write a PNG with a row per example, atomically."""
    figure, grid = plt.subplots(
        len(examples), 5, figsize=(11, 1.75 * len(examples) + 0.4), squeeze=False, layout="constrained"
    )
    for axes, title in zip(
        grid[0], ("input", "predicted depth", "true depth", "error", "path, from above"), strict=True
    ):
        axes.set_title(title, fontsize=9)
    for row, example in zip(grid, examples, strict=True):
        _draw_last_frame(row[:4], example)
        _draw_path(row[4], example)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=90)
    plt.close(figure)


def _draw_last_frame(row: np.ndarray, example: Example) -> None:
    assert example.guess.depth is not None
    predicted, true = example.guess.depth[-1].numpy(), example.truth.depth[-1].numpy()
    known = true > 0
    true = np.where(known, true, np.nan)
    nearest, farthest = np.nanpercentile(true, (1, 99))
    error = np.abs(predicted - true) / true
    depth_look = {"cmap": "turbo", "vmin": nearest, "vmax": farthest}
    row[0].imshow(example.images[-1])
    row[0].set_ylabel(example.title, fontsize=8)
    row[1].imshow(predicted, **depth_look)
    depth = row[2].imshow(true, **depth_look)
    off = row[3].imshow(100 * error, cmap="magma", vmin=0, vmax=100 * LARGEST_ERROR)
    plt.colorbar(depth, ax=row[2], shrink=0.8).set_label("m", fontsize=7)
    plt.colorbar(off, ax=row[3], shrink=0.8).set_label("%", fontsize=7)
    for axes in row:
        axes.set_xticks([])
        axes.set_yticks([])


def _draw_path(axes: plt.Axes, example: Example) -> None:
    assert example.guess.first_from_cam is not None
    for label, poses, color in (
        ("true", example.truth.first_from_cam, "black"),
        ("predicted", example.guess.first_from_cam, "tab:red"),
    ):
        x, _, z = poses[:, :3, 3].numpy().T
        axes.plot(x, z, color=color, label=label, linewidth=1.2)
        axes.plot(x[:1], z[:1], "o", color=color, markersize=3)
    axes.set_aspect("equal", adjustable="datalim")
    axes.tick_params(labelsize=6)
    axes.set_xlabel("right, m", fontsize=6)
    axes.set_ylabel("ahead, m", fontsize=6)
    axes.legend(fontsize=6, frameon=False)
