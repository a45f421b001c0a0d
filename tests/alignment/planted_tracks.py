"""An alignment that is a little wrong, and tracks that tell the truth: made of numbers, without pictures."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cut3r.alignment.align import Alignment
from cut3r.alignment.taken import Taken
from cut3r.alignment.tracks import Tracks
from cut3r.geometry.cameras import pinhole, unproject
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import invert, pose_from_parts, transform
from cut3r.geometry.registration import Similarity
from cut3r.inference.preprocess import PixelMap
from cut3r.io.frame import Frame
from cut3r.metrics.motion import ate, rotation_error

SIZE = (48, 64)  # of the network's image; the original is four times as large
TIMES = 4
FOCAL = 50.0


@dataclass(frozen=True)
class Planted:
    """Cameras that move sideways past a bumpy wall at about 3 m."""

    world_from_cam: Tensor
    tracks: Tracks
    aligned: Alignment

    def errors(self, aligned: Alignment) -> tuple[float, float, float]:
        """Degrees, metres, and the focal length's relative error."""
        turn = float(rotation_error(aligned.world_from_cam, self.world_from_cam).rad2deg())
        focal = float((aligned.intrinsics[:, 0, 0] / FOCAL - 1).abs().mean())
        return turn, float(ate(aligned.world_from_cam, self.world_from_cam)), focal


def plant(
    frames: int = 6,
    *,
    points: int = 150,
    degrees: float = 1.5,
    metres: float = 0.05,
    focal: float = 1.05,
    outliers: float = 0.05,
    known: bool = False,
    travel: float = 1.0,
    seed: int = 0,
) -> Planted:
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    along = torch.linspace(0, 1.2, frames).double()
    turns = torch.stack((0.1 * along, -0.25 * along, 0 * along), dim=-1)
    places = travel * torch.stack((along, 0.2 * (3 * along).sin(), 0.1 * along), dim=-1)
    truth = pose_from_parts(rotation_from_vector(turns), places)
    camera = pinhole(SIZE, FOCAL).double()
    pixel_map = PixelMap((SIZE[0] * TIMES, SIZE[1] * TIMES), SIZE, (1 / TIMES, 1 / TIMES), (0.0, 0.0))

    x, y = rng.uniform(-2.5, 3.5, 40 * points), rng.uniform(-2, 2, 40 * points)
    cloud = np.stack((x, y, 3 + 0.4 * np.sin(2 * x) * np.cos(3 * y)), axis=1)[: 4 * points]
    rows = []
    original = pixel_map.intrinsics_to_original(camera)
    depth = torch.stack([_depth_of_wall(pose, camera) for pose in truth])
    for frame, pose in enumerate(truth):
        local = transform(invert(pose), torch.from_numpy(cloud))
        pixels = (local / local[:, 2:] @ original.mT)[:, :2].numpy()
        h, w = pixel_map.original_size
        inside = np.flatnonzero((pixels >= 0).all(axis=1) & (pixels[:, 0] < w - 1) & (pixels[:, 1] < h - 1))[:points]
        noisy = pixels[inside] + rng.normal(0, 0.2, (len(inside), 2))
        wrong = rng.random(len(inside)) < outliers
        noisy[wrong] = rng.uniform(0, (w - 1, h - 1), (int(wrong.sum()), 2))
        rows += [(point, frame, *pixel) for point, pixel in zip(inside.tolist(), noisy.tolist(), strict=True)]
    table = np.array(sorted(rows))
    counts = np.bincount(table[:, 0].astype(int))
    table = table[counts[table[:, 0].astype(int)] >= 2]
    _, track = np.unique(table[:, 0], return_inverse=True)
    tracks = Tracks(track, table[:, 1].astype(int), table[:, 2:])

    def directions() -> Tensor:
        vectors = torch.nn.functional.normalize(torch.randn(frames, 3, generator=generator).double(), dim=-1)
        vectors[0] = 0
        return vectors

    poses = truth @ pose_from_parts(rotation_from_vector(np.radians(degrees) * directions()), metres * directions())
    noise = 1 + 0.02 * torch.randn(depth.shape, generator=generator).double()
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    taken = Taken(
        [Frame(image, k, k / 10, f"{k}") for k in range(frames)],
        torch.zeros(frames, *SIZE, 3, dtype=torch.uint8),
        [pixel_map] * frames,
        torch.ones(frames, *SIZE, dtype=torch.bool),
        {k: camera.float() for k in range(frames)} if known else {},
        {},
    )
    said = camera if known else pinhole(SIZE, FOCAL * focal).double()
    ones = torch.ones(frames, *SIZE)
    points_cam = unproject(depth * noise, camera.expand(frames, 3, 3)).float()
    aligned = Alignment(
        taken, poses.float(), said.expand(frames, 3, 3).float().clone(), points_cam, torch.ones(frames), ones,
        ones.bool(), {"groups": [list(range(frames))]},
        Similarity(poses[:, :3, :3].float(), poses[:, :3, 3].float(), torch.ones(frames)),
    )  # fmt: skip
    return Planted(truth, tracks, aligned)


def with_known_poses(planted: Planted, frames: list[int]) -> Alignment:
    """The alignment with the true poses of some frames known."""
    poses = planted.aligned.world_from_cam.clone()
    poses[frames] = planted.world_from_cam[frames].float()
    known = {k: planted.world_from_cam[k] for k in frames}
    return replace(planted.aligned, world_from_cam=poses, taken=replace(planted.aligned.taken, world_from_cam=known))


def _depth_of_wall(world_from_cam: Tensor, camera: Tensor) -> Tensor:
    """By fixed-point iteration: the wall is nearly flat."""
    depth = torch.full(SIZE, 3.0).double()
    for _ in range(30):
        x, y, z = transform(world_from_cam, unproject(depth, camera)).unbind(dim=-1)
        depth = depth + 0.7 * (3 + 0.4 * (2 * x).sin() * (3 * y).cos() - z)
    return depth
