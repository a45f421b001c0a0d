"""Make a network's confidence mean what the loss says: at confidence c, an error of about alpha / c of the distance.

A network is sure of what it has trained on, and less right about what it sees for the first time. On walks that no
training has seen, this finds the factor on (confidence - 1) with which the loss `error c - alpha log c` is least, for
each of the two point heads, and writes a network whose last layers say so: a threshold of 1.5 then keeps what is right
to about alpha / 1.5 of the distance, whatever the network.

    python benchmarks/calibrate.py runs/tiny/checkpoints/final.safetensors assets/tiny.safetensors --dtype float16
"""

import argparse
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from report import table
from torch import Tensor

import cut3r
from cut3r.data.synthetic import HELD_OUT_SEED, SyntheticRooms
from cut3r.data.view import View
from cut3r.data.walks import WalkConfig
from cut3r.geometry.poses import invert, transform
from cut3r.inference.session import default_size
from cut3r.model.config import HeadKind, RayDirection
from cut3r.model.encoder import ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs
from cut3r.weights.checkpoint import save

ALPHA = 0.6  # `loss.alpha` of the recipe tiny
CALIBRATION_SEED = HELD_OUT_SEED + 1  # not the walks that networks are judged by
FACTORS = torch.logspace(-3, 2, 251)
PIXELS = 2_000  # of a view


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", help="a checkpoint with linear heads")
    parser.add_argument("out", type=Path, help="a .safetensors")
    parser.add_argument("--walks", type=int, default=60, help="(default: %(default)s)")
    parser.add_argument("--alpha", type=float, default=ALPHA, help="of the loss that it learned (default: %(default)s)")
    parser.add_argument("--views", type=int, default=8, help="of each (default: %(default)s)")
    parser.add_argument("--threshold", type=float, default=1.5, help="that the file names (default: %(default)s)")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16"), help="(default: %(default)s)")
    args = parser.parse_args()
    model = cut3r.load(args.network)
    pixels = judged(model, args.walks, args.views)
    rows = []
    for head in pixels:
        error, confidence = pixels[head]
        factor = best_factor(error, confidence, args.alpha)
        scale_confidence(model, head, factor)
        rows += [
            {"head": head, "factor": factor} | row for row in bins(error, 1 + factor * (confidence - 1), args.alpha)
        ]
    print(table(rows))
    save(model, args.out, dtype=getattr(torch, args.dtype), confidence=args.threshold)


@torch.inference_mode()
def judged(model: Cut3r, walks: int, views: int) -> dict[str, tuple[Float[Tensor, "n"], Float[Tensor, "n"]]]:
    """Errors as shares of the distance to the camera, and confidences, of both point heads, on new walks."""
    found: dict[str, list[Tensor]] = {"points_cam": [], "points_world": []}
    for sample in new_walks(model, walks, views):
        inputs = [ViewInput(view.image[None]) for view in sample]
        predictions = model.rollout(inputs, outputs=Outputs.all(), combine="stream").predictions
        first_from_world = invert(sample[0].world_from_cam)
        for view, said in zip(sample, predictions, strict=True):
            in_camera = transform(invert(view.world_from_cam), view.points)
            in_first = transform(first_from_world, view.points)
            distance, valid = in_camera.norm(dim=-1), view.valid
            assert said.points_cam is not None and said.points_world is not None
            heads = (
                ("points_cam", said.points_cam, said.conf_cam, in_camera),
                ("points_world", said.points_world, said.conf_world, in_first),
            )
            for head, points, confidence, true in heads:
                assert confidence is not None
                error = (points[0] - true).norm(dim=-1) / distance
                both = torch.stack((error[valid], confidence[0][valid]))
                found[head].append(both[:, :: max(1, both.shape[1] // PIXELS)])
    joined = {head: torch.cat(parts, dim=1).double() for head, parts in found.items()}
    return {head: (both[0], both[1]) for head, both in joined.items()}


def new_walks(model: Cut3r, walks: int, views: int) -> Iterator[list[View]]:
    size = default_size(model)
    rooms = SyntheticRooms(
        scenes=walks,
        walk=WalkConfig(size=size, frames=3 * views),
        sizes=[size],
        num_views=views,
        seed=CALIBRATION_SEED,
        include_translation=model.config.ray_direction is RayDirection.point_at_unit_depth,
    )
    per_walk = len(rooms) // walks
    return (rooms[walk * per_walk] for walk in range(walks))


def best_factor(error: Float[Tensor, "n"], confidence: Float[Tensor, "n"], alpha: float = ALPHA) -> float:
    """The factor on (confidence - 1) with which the loss is least."""
    losses = []
    for factor in FACTORS.tolist():
        scaled = 1 + factor * (confidence - 1)
        losses.append(float((error * scaled - alpha * scaled.log()).mean()))
    return float(FACTORS[losses.index(min(losses))])


def scale_confidence(model: Cut3r, head: str, factor: float) -> None:
    """Let a linear head multiply (confidence - 1) = exp(raw) by a factor: a shift of the raw value.

    Raises:
        ValueError: Another kind of head.
    """
    if model.config.head is not HeadKind.linear:
        raise ValueError("the confidence of linear heads can be calibrated, and this network has others")
    pixels = model.config.patch_size**2
    bias = getattr(model.heads, head).mlp.fc2.bias
    with torch.no_grad():
        bias[3 * pixels : 4 * pixels] += math.log(factor)


def bins(error: Float[Tensor, "n"], confidence: Float[Tensor, "n"], alpha: float = ALPHA) -> list[dict[str, float]]:
    """How large errors are where the confidence is so large, beside what it promises."""
    edges = [1.0, 1.25, 1.5, 2.0, 3.0, 5.0, math.inf]
    rows = []
    for low, high in pairwise(edges):
        here = (confidence > low) & (confidence <= high)
        if here.any():
            promised = float(alpha / confidence[here].mean())
            rows.append(
                {
                    "above": low,
                    "share": float(here.double().mean()),
                    "error": float(error[here].mean()),
                    "promised": promised,
                }
            )
    return rows


if __name__ == "__main__":
    main()
