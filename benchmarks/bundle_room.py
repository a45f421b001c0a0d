"""How far do the pose graph and bundle adjustment bring cameras that are 3 degrees and 10 cm off?

A recording with depth and poses plays the network: true depth with 5 % of slowly varying error, in pairs whose relative
poses are disturbed. The pictures are the recording's own. Errors are measured after the best rigid motion.

What a recording calls true is itself measured. So bundle adjustment also begins at the recorded poses ("ba, from the
recorded poses"): where it leads away from them, and to the same place as from the disturbed ones ("the two apart"), the
pictures contradict the recording. And the same tracks are seen by the recorded cameras exactly, but for noise ("ba,
planted tracks"): how far the method comes where what is called true is true.

    python benchmarks/bundle_room.py ../shared/examples/rgbd_room --frames 40 --every 2 --out
"""

import argparse
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from report import add_out_flag, environment, finish, table
from torch import Tensor

from cut3r.alignment.align import AlignConfig, Alignment
from cut3r.alignment.bundle import BundleConfig, adjust_tracks, bundle_adjust
from cut3r.alignment.bundle_state import guess, known_points
from cut3r.alignment.graphs import pairs_of
from cut3r.alignment.guide import Guide
from cut3r.alignment.links import links_of
from cut3r.alignment.pairs import Predictions, compact
from cut3r.alignment.pose_graph import solve_pose_graph
from cut3r.alignment.taken import Taken, take
from cut3r.alignment.tracks import Tracks, find_tracks
from cut3r.geometry.cameras import unproject
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import invert, pose_from_parts, rotation_angle, transform
from cut3r.inference.preprocess import FitConfig
from cut3r.io.frame import Frame
from cut3r.io.images import read_image

DEPTH_NOISE = 0.05
TURN_DEG = 3.0
SHIFT_M = 0.1
NOISE_PX = 0.6  # of planted tracks, per axis: about what bundle adjustment leaves of the recording's own
SIZE = 256  # long side of what the network would see
FARTHEST_MM = 60000  # 65535 is "no depth"


def main() -> None:
    args = parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    colors = sorted(args.footage.glob("*.color.jpg"))[:: args.every][: args.frames]
    camera = np.loadtxt(args.footage / "camera-intrinsics.txt")
    opened = opener(colors, camera if args.known_intrinsics else None)
    taken = take(opened(), FitConfig(size=SIZE))
    truth = torch.stack([torch.from_numpy(np.loadtxt(beside(path, "pose.txt"))) for path in colors])
    depth = torch.stack([read(beside(path, "depth.png"), taken, k) for k, path in enumerate(colors)])
    disturb = Disturbance(args.seed)
    predictions = disturb.predict(taken, truth, depth, torch.from_numpy(camera))
    rows = [{"stage": "given", **errors(truth @ disturb.motions(len(truth)), truth), "seconds": 0.0}]
    guess = camera.copy()
    guess[[0, 1], [0, 1]] *= args.focal
    start = time.monotonic()
    aligned = by_graph(taken, predictions, torch.from_numpy(guess))
    rows.append({"stage": "graph", **errors(aligned.world_from_cam, truth), "seconds": time.monotonic() - start})
    refined, report = bundle_adjust(aligned, opened, BundleConfig())
    rows.append({"stage": "ba", **errors(refined.world_from_cam, truth), "seconds": report["seconds"]})
    recorded = replace(aligned, world_from_cam=truth.float(), scales=torch.ones(len(truth)))
    control, control_report = bundle_adjust(recorded, opened, BundleConfig())
    seconds = control_report["seconds"]
    rows.append({"stage": "ba, from the recorded poses", **errors(control.world_from_cam, truth), "seconds": seconds})
    apart = errors(refined.world_from_cam, control.world_from_cam)
    rows.append({"stage": "the two apart", **apart, "seconds": 0.0})
    planted, planted_report = adjust_tracks(aligned, planted_tracks(recorded, opened, args.seed))
    rows.append({"stage": "ba, planted tracks", **errors(planted.world_from_cam, truth), "seconds": 0.0})
    print(table(rows))
    px = "reprojection error {reprojection_before_px:.2f} px before and {reprojection_after_px:.2f} after"
    for name, said in (("ba", report), ("from the recorded poses", control_report), ("planted", planted_report)):
        print(f"{name}: {px.format(**said)}, focal length {said['focal_px']['after'][0]:.1f} px")
    settings = {"frames": len(truth), "every": args.every, "known_intrinsics": args.known_intrinsics, "seed": args.seed}
    record = {"environment": environment(torch.device("cpu")), **settings, "rows": rows}
    record |= {"report": report, "report_recorded": control_report, "report_planted": planted_report}
    finish("bundle-room", record, args.out)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("footage", type=Path, help="folder of frame-*.color.jpg, .depth.png, .pose.txt")
    parser.add_argument("--frames", type=int, default=40, metavar="N")
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--known-intrinsics", action="store_true", help="keep those of the recording")
    parser.add_argument("--focal", type=float, default=1.0, metavar="F", help="start with so many times the true one")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    add_out_flag(parser)
    return parser.parse_args()


def beside(path: Path, kind: str) -> Path:
    return path.with_name(path.name.replace("color.jpg", kind))


def opener(paths: list[Path], camera: np.ndarray | None) -> Callable[[], Iterator[Frame]]:
    def opened() -> Iterator[Frame]:
        for number, path in enumerate(paths):
            yield Frame(read_image(path), number, None, path.name, path, intrinsics=camera)

    return opened


def read(path: Path, taken: Taken, number: int) -> Tensor:
    """Metres at the centres of the network's pixels; 0 where there is none."""
    with Image.open(path) as image:
        millimetres = torch.from_numpy(np.asarray(image).astype(np.int64))
    h, w = taken.images.shape[1:3]
    grid = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy"), dim=-1).double()
    x, y = taken.pixel_maps[number].pixels_to_original(grid).round().long().unbind(dim=-1)
    values = millimetres[y.clamp(0, len(millimetres) - 1), x.clamp(0, millimetres.shape[1] - 1)]
    return torch.where(values < FARTHEST_MM, values, 0).double() / 1000


class Disturbance:
    """What is wrong with predictions, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def motions(self, count: int) -> Tensor:
        """Rigid motions of about `TURN_DEG` and `SHIFT_M`, in any direction."""
        turn, shift = (torch.nn.functional.normalize(self._normal(count, 3), dim=-1) for _ in range(2))
        return pose_from_parts(rotation_from_vector(turn * math.radians(TURN_DEG)), shift * SHIFT_M)

    def predict(self, taken: Taken, truth: Tensor, depth: Tensor, camera: Tensor) -> Predictions:
        n = len(truth)
        intrinsics = torch.stack([m.intrinsics_to_image(camera) for m in taken.pixel_maps])
        ends = torch.tensor(pairs_of(AlignConfig().stars(n)))
        valid = (depth > 0) & taken.counts
        points_self, conf_self = compact(unproject(depth * self._stretch(depth), intrinsics), valid + 1.0)
        motions = self.motions(len(ends))
        points = []
        for (i, j), motion in zip(ends.tolist(), motions, strict=True):
            seen = unproject(depth[j : j + 1] * self._stretch(depth[j : j + 1]), intrinsics[j : j + 1])[0]
            points.append(compact(transform(invert(truth[i]) @ truth[j] @ motion, seen), valid[j] + 1.0))
        invalid = ~valid
        found = Predictions(
            taken.images, points_self, conf_self, ends, *(torch.stack(each) for each in zip(*points, strict=True))
        )
        return found.without(invalid)

    def _stretch(self, depth: Tensor) -> Tensor:
        coarse = 1 + DEPTH_NOISE * self._normal(len(depth), 1, 4, 4)
        fine = torch.nn.functional.interpolate(coarse, depth.shape[1:], mode="bilinear", align_corners=True)
        return fine[:, 0]

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator, dtype=torch.float64)


def by_graph(taken: Taken, predictions: Predictions, camera: Tensor) -> Alignment:
    links, _ = links_of(predictions)
    solved = solve_pose_graph(len(taken), links)
    place = solved.world_from_frame
    return Alignment(
        taken,
        pose_from_parts(place.rotation, place.translation).float(),
        torch.stack([m.intrinsics_to_image(camera) for m in taken.pixel_maps]).float(),
        predictions.points_self,
        place.scale.float(),
        predictions.conf_self.clamp_min(1),
        predictions.conf_self > 0,
        {"groups": solved.groups},
        replace(solved.start, scale=solved.start.scale / place.scale),
    )


def planted_tracks(recorded: Alignment, opened: Callable[[], Iterator[Frame]], seed: int) -> Tracks:
    """The tracks of the pictures, as the recorded cameras would see the points that they show, with noise."""
    guide = Guide.of(recorded)
    found = find_tracks(opened, guide)
    tracks, points = known_points(found, guess(guide, found))
    noise = np.random.default_rng(seed).normal(0, NOISE_PX, tracks.pixels.shape)
    pixels, ahead = tracks.pixels.copy(), np.ones(len(tracks.track), dtype=bool)
    for frame in range(len(guide)):
        rows = np.flatnonzero(tracks.frame == frame)
        pixels[rows], depth = guide.see(frame, points[tracks.track[rows]])
        ahead[rows] = depth > 0
    often = np.bincount(tracks.track[ahead], minlength=len(tracks))[tracks.track] > 1
    kept = ahead & often
    _, track = np.unique(tracks.track[kept], return_inverse=True)
    return Tracks(track, tracks.frame[kept], (pixels + noise)[kept])


def errors(predicted: Tensor, truth: Tensor) -> dict[str, Any]:
    """Mean angle and root mean square distance after the rigid motion that fits orientations and positions best."""
    predicted, truth = predicted.double(), truth.double()
    u, _, vh = torch.linalg.svd((truth[:, :3, :3] @ predicted[:, :3, :3].mT).sum(dim=0))
    turn = u @ torch.diag(torch.tensor([1.0, 1.0, float(torch.linalg.det(u @ vh))]).double()) @ vh
    places = predicted[:, :3, 3] @ turn.mT
    places = places - places.mean(dim=0) + truth[:, :3, 3].mean(dim=0)
    angles = rotation_angle(turn @ predicted[:, :3, :3], truth[:, :3, :3])
    distance = (places - truth[:, :3, 3]).norm(dim=-1)
    return {
        "rotation_deg": float(angles.mean().rad2deg()),
        "position_m": float(distance.square().mean().sqrt()),
    }


if __name__ == "__main__":
    main()
