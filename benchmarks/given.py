"""What do given cameras and depth bring, and does a network gain by being shown cameras as ray maps?

On walks through synthetic rooms by a seed that no training has seen, with their true intrinsics, poses and depth, of
which one or the other is given to the session. No alignment: depth and points are compared in metres, as they come.

    depth   mean over frames of the mean of |depth - truth| / truth
    points  median over all valid pixels of the distance of a point from where it truly is, cm
    ate     root mean square distance of the cameras from where they truly were, cm

    python benchmarks/given.py --weights tiny --walks 4 --frames 40 --out
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

import numpy as np
import torch
from report import add_out_flag, environment, finish, table

from cut3r.data.synthetic import HELD_OUT_SEED, Walk, synthetic_walk
from cut3r.data.walks import WalkConfig
from cut3r.geometry.cameras import unproject
from cut3r.geometry.poses import invert, transform
from cut3r.inference.given import GivenConfig, ScaleFrom
from cut3r.inference.result import FrameResult
from cut3r.inference.session import Session
from cut3r.io.frame import Frame
from cut3r.weights.checkpoint import load

SIZE = (240, 320)


@dataclass(frozen=True)
class Way:
    """What is given, and what the session does with it."""

    intrinsics: bool = False
    poses: bool = False
    depth: bool = False
    config: GivenConfig | None = None


WAYS = {
    "nothing": Way(),
    "intrinsics": Way(intrinsics=True),
    "depth": Way(depth=True),
    "poses, for the scale": Way(poses=True, config=GivenConfig(ScaleFrom.poses, hold_poses=False)),
    "poses": Way(poses=True),
    "poses, intrinsics": Way(intrinsics=True, poses=True),
    "the same, shown": Way(intrinsics=True, poses=True, config=GivenConfig(condition=True)),
}


def frames_of(walk: Walk, way: Way) -> Iterator[Frame]:
    """The pictures of a walk with what is given; the world is the first camera, as that of a session."""
    first_from_world = invert(walk.world_from_cam[0].double())
    for number, rgb in enumerate(walk.rgb.numpy()):
        yield Frame(
            rgb,
            number,
            None,
            str(number),
            intrinsics=walk.intrinsics[number].double().numpy() if way.intrinsics else None,
            world_from_cam=(first_from_world @ walk.world_from_cam[number].double()).numpy() if way.poses else None,
            depth=np.ascontiguousarray(walk.depth[number].numpy(), np.float32) if way.depth else None,
        )


def errors(walk: Walk, results: list[FrameResult]) -> dict[str, float]:
    """See the module; points where their chunks stand in the end."""
    first_from_world = invert(walk.world_from_cam[0].double())
    depths, points, centres = [], [], []
    for result in results:
        depth = result.pixel_map.nearest_to_image(walk.depth[result.number].numpy()).double()
        intrinsics = result.pixel_map.intrinsics_to_image(walk.intrinsics[result.number].double())
        world_from_cam = first_from_world @ walk.world_from_cam[result.number].double()
        counts = result.valid & (depth > 0)
        truth = transform(world_from_cam, unproject(depth, intrinsics))
        depths.append(float(((result.depth - depth).abs() / depth)[counts].mean()))
        points.append((result.points_world.double() - truth).norm(dim=-1)[counts])
        centres.append((result.world_from_cam.double() - world_from_cam)[:3, 3])
    return {
        "depth": mean(depths),
        "points_cm": 100 * float(torch.cat(points).median()),
        "ate_cm": 100 * float(torch.stack(centres).square().sum(dim=-1).mean().sqrt()),
    }


def run(session: Session, walk: Walk, way: Way) -> dict[str, float]:
    results = list(session.stream(frames_of(walk, way)))
    places = {result.chunk: result.world_from_chunk for result in results} | session.settle()
    return errors(walk, [_placed(result, places) for result in results])


def _placed(result: FrameResult, places: dict[int, Any]) -> FrameResult:
    return result if result.pose_is_given else replace(result, world_from_chunk=places[result.chunk])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="tiny", help="a checkpoint, or a name")
    parser.add_argument("--walks", type=int, default=4)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    add_out_flag(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load(args.weights, device=torch.device("cpu"))
    walks = [
        synthetic_walk(HELD_OUT_SEED, index, WalkConfig(size=SIZE, frames=args.frames)) for index in range(args.walks)
    ]
    rows: list[dict[str, Any]] = []
    for name, way in WAYS.items():
        found = [run(Session(model, given=way.config), walk, way) for walk in walks]
        rows.append({"given": name} | {key: round(mean(each[key] for each in found), 4) for key in found[0]})
        print(rows[-1], flush=True)
    print(table(rows))
    settings = {"weights": args.weights, "walks": args.walks, "frames": args.frames, "size": SIZE}
    finish("given", {"environment": environment(model.device)} | settings | {"rows": rows}, args.out)


if __name__ == "__main__":
    main()
