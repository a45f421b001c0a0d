"""The pictures of docs/long_videos.md: a drifting walk from above, and what a run says of its own quality.

    python benchmarks/long_pictures.py docs/pictures

The oracle of `drifting_oracle.py` stands in for the network, so these are no pictures of what weights do.
"""

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from drifting_oracle import SIZE, DriftingOracle
from jaxtyping import Float
from long_accuracy import AUTO, WAYS, Run, Way, run
from planted_walk import PlantedWalk

from cut3r.files.atomic import atomic_path
from cut3r.geometry.registration import register
from cut3r.inference.quality import Trust

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

FRAMES, SEED = 540, 0
SHOWN = {"published chaining": "poses chained", "auto": "joined by points", "auto, loops": "and loops closed"}
BROKEN = (range(130, 138), range(215, 216))  # frames that the network makes nothing of
WATCHED = 300  # frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.ERROR)
    draw_from_above(folder / "long_walk.png")
    draw_quality(folder / "long_quality.png")


def draw_from_above(path: Path) -> None:
    """The same walk in three ways, beside the truth."""
    walk = PlantedWalk(FRAMES, size=SIZE, seed=SEED)
    figure, row = plt.subplots(1, len(SHOWN), figsize=(10, 3.9), layout="constrained")
    for axes, (way, title) in zip(row, SHOWN.items(), strict=True):
        done = run(DriftingOracle(walk, seed=SEED), WAYS[way])
        true = walk.world_from_cam[:, :3, 3]
        _path(axes, true, color="0.75", linewidth=3, label="truth")
        _path(axes, aligned(done, true), color="tab:blue", linewidth=0.9, label="predicted")
        axes.set_title(f"{title}: {100 * done.ate_m:.1f} cm", fontsize=10)
        axes.set_aspect("equal")
        axes.set_xlabel("m", fontsize=8)
        axes.tick_params(labelsize=8)
    row[0].legend(fontsize=8, loc="center")
    _save(figure, path)


def aligned(done: Run, true: Float[torch.Tensor, "v 3"]) -> Float[torch.Tensor, "v 3"]:
    """Predicted places after the best similarity, as the error is measured."""
    places = done.world_from_cam[:, :3, 3]
    return register(places, true.double(), with_scale=True).apply(places)


def draw_quality(path: Path) -> None:
    """Confidence and new area along a stream in which the network twice sees nothing."""
    walk = PlantedWalk(WATCHED, size=SIZE, seed=SEED)
    oracle = DriftingOracle(walk, broken=[frame for some in BROKEN for frame in some], seed=SEED)
    done = run(oracle, Way(replace(AUTO, evidence=True)))
    told = [each for each in done.quality if each is not None]
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(10, 3.8), sharex=True, layout="constrained")
    frames = np.arange(len(told))
    upper.plot(frames, [each.confidence for each in told], color="tab:blue", linewidth=1)
    weak = [number for number, each in enumerate(told) if each.trust is not Trust.good]
    upper.plot(weak, [told[number].confidence for number in weak], "o", color="tab:red", markersize=4, label="weak")
    upper.axhline(0.6, color="0.6", linestyle=":", linewidth=1)
    upper.set_ylabel("confidence,\nshare of usual", fontsize=9)
    lower.plot(frames, [100 * each.new_area for each in told], color="tab:green", linewidth=1)
    lower.set_ylabel("new area, %", fontsize=9)
    lower.set_xlabel("frame", fontsize=9)
    for axes in (upper, lower):
        for joint in done.session.joints:
            planned = "written" in joint.reason
            axes.axvline(joint.first - 0.5, color="0.4" if planned else "tab:red", linewidth=0.8, linestyle="--")
        axes.tick_params(labelsize=8)
    for joint in done.session.joints:
        if "written" not in joint.reason:
            upper.text(joint.first, 1.22, joint.reason, fontsize=8, color="tab:red", ha="left", va="bottom")
    upper.set_ylim(0, 1.2)
    upper.legend(fontsize=8, loc="lower left")
    _save(figure, path)


def _path(axes: Axes, places: Float[torch.Tensor, "v 3"], **look: Any) -> None:
    x, _, z = places.double().numpy().T
    axes.plot(x, z, **look)


def _save(figure: plt.Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png", bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    main()
