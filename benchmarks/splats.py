"""Are splats trained from an exported folder as good as with the true cameras, and worse with wrong ones?

A small optimiser of round Gaussian splats, in PyTorch on the processor, reads the folder as nerfstudio's rules say
(transforms.json and its seed of points, nothing of ours) and is judged by pictures that it was not trained on. Three
runs with the same seed: cameras of the folder, true cameras, and those of the folder disturbed.

    PYTHONPATH=. python benchmarks/splats.py --walk     a rendered walk, exported first: its truth is known
    python benchmarks/splats.py out/scene               a folder of your own, without truth
"""

import argparse
import importlib
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from plyfile import PlyData
from scipy.spatial import cKDTree
from torch import Tensor

from cut3r.export.of_run import export_run
from cut3r.run.finished import FinishedRun

ROOM = "tests.export.room"  # a rendered walk as a finished run, as the tests have it
OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
WINDOW = 3  # a splat covers pixels up to so far from its centre, each way ...
REACH = 2.5  # ... or so many of its radii
HELD_OUT = 4  # every so many pictures


@dataclass(frozen=True)
class Shot:
    """A picture and its camera: OpenCV axes, pixel centres at whole numbers."""

    image: Tensor  # h w 3, 0 to 1
    intrinsics: Tensor  # 3 3
    cam_from_world: Tensor  # 4 4


@dataclass(frozen=True)
class Folder:
    """What transforms.json says. `names` are those of the pictures."""

    shots: list[Shot]
    names: list[str]
    points: Tensor  # p 3
    colors: Tensor  # p 3, 0 to 1


def read_folder(folder: Path, width: int) -> Folder:
    """By nerfstudio's rules: camera to world with y up and z back, pixel centres at halves, one seed of points."""
    document = json.loads((folder / "transforms.json").read_text())
    shots, names = [], []
    for frame in document["frames"]:
        lens = {key: frame.get(key, document.get(key)) for key in ("fl_x", "fl_y", "cx", "cy", "w", "h")}
        scale = width / lens["w"]
        size = (width, round(lens["h"] * scale))
        with Image.open(folder / frame["file_path"]) as picture:
            rgb = np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BOX))
        k = np.array([[lens["fl_x"], 0, lens["cx"]], [0, lens["fl_y"], lens["cy"]], [0, 0, 1 / scale]]) * scale
        k[:2, 2] -= 0.5
        pose = np.array(frame["transform_matrix"]) @ OPENCV_FROM_OPENGL
        names.append(Path(frame["file_path"]).name)
        shots.append(Shot(torch.from_numpy(rgb / 255.0).float(), _float(k), _float(np.linalg.inv(pose))))
    seed = PlyData.read(str(folder / document["ply_file_path"]))["vertex"]
    points = np.stack([seed[axis] for axis in "xyz"], axis=-1)
    colors = np.stack([seed[name] for name in ("red", "green", "blue")], axis=-1) / 255.0
    return Folder(shots, names, _float(points), _float(colors))


class Splats(torch.nn.Module):
    """Round Gaussians: place, size, colour and opacity of each are learned."""

    def __init__(self, points: Tensor, colors: Tensor, radius: float) -> None:
        super().__init__()
        self.points = torch.nn.Parameter(points.clone())
        self.colors = torch.nn.Parameter(torch.logit(colors.clamp(0.02, 0.98)))
        self.radii = torch.nn.Parameter(torch.full((len(points),), math.log(radius)))
        self.opacities = torch.nn.Parameter(torch.full((len(points),), 2.0))

    def forward(self, shot: Shot) -> Tensor:
        """Render, front to back; what nothing covers is black. h w 3."""
        h, w = shot.image.shape[:2]
        in_cam = self.points @ shot.cam_from_world[:3, :3].T + shot.cam_from_world[:3, 3]
        ahead = torch.nonzero(in_cam[:, 2] > 0.05)[:, 0]
        in_cam = in_cam[ahead]
        z = in_cam[:, 2]
        centre = in_cam[:, :2] / z[:, None] * shot.intrinsics.diagonal()[:2] + shot.intrinsics[:2, 2]
        sigma = (self.radii[ahead].exp() * shot.intrinsics[0, 0] / z).clamp(0.3, WINDOW / REACH)
        steps = torch.arange(-WINDOW, WINDOW + 1)
        nearest = centre.detach().round().long()
        column, row = (
            (nearest[:, None, None, 0] + steps[None, None, :]),
            (nearest[:, None, None, 1] + steps[None, :, None]),
        )
        column, row = torch.broadcast_tensors(column, row)
        inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
        splat = torch.arange(len(ahead))[:, None, None].expand_as(inside)[inside]
        pixel = (row * w + column)[inside]
        away = (torch.stack((column[inside], row[inside]), dim=-1) - centre[splat]).square().sum(dim=-1)
        alpha = (self.opacities[ahead][splat].sigmoid() * torch.exp(-0.5 * away / sigma[splat].square())).clamp(
            max=0.99
        )
        order = np.lexsort((z.detach().numpy()[splat.numpy()], pixel.numpy()))
        splat, pixel, alpha = splat[order], pixel[order], alpha[order]
        passed = torch.log1p(-alpha).double()
        before = passed.cumsum(dim=0) - passed  # of all pixels in a row: what came before the pixel is taken off
        first = torch.searchsorted(pixel, pixel)
        weight = alpha * (before - before[first]).exp().float()
        picture = torch.zeros(h * w, 3).index_add(0, pixel, weight[:, None] * self.colors[ahead].sigmoid()[splat])
        return picture.view(h, w, 3)


def train(shots: Sequence[Shot], points: Tensor, colors: Tensor, steps: int) -> Splats:
    """Learn from pictures in turn."""
    spacing = float(np.median(cKDTree(points.numpy()).query(points.numpy(), k=2)[0][:, 1]))
    splats = Splats(points, colors, spacing)
    groups = [
        {"params": [splats.points], "lr": 0.05 * spacing},
        {"params": [splats.colors, splats.opacities], "lr": 0.03},
        {"params": [splats.radii], "lr": 0.01},
    ]
    optimizer = torch.optim.Adam(groups)
    random = torch.Generator().manual_seed(0)
    for step in range(steps):
        if step % len(shots) == 0:
            turns = torch.randperm(len(shots), generator=random).tolist()
        shot = shots[turns[step % len(shots)]]
        optimizer.zero_grad()
        (splats(shot) - shot.image).abs().mean().backward()
        optimizer.step()
    return splats


@torch.no_grad()
def psnr(splats: Splats, shots: Sequence[Shot]) -> float:
    """Decibels, the mean over pictures."""
    errors = [(splats(shot) - shot.image).square().mean().item() for shot in shots]
    return float(np.mean([-10 * math.log10(error) for error in errors]))


def disturbed(shots: Sequence[Shot], degrees: float, metres: float) -> list[Shot]:
    """Cameras turned about random axes, and moved."""
    random = np.random.default_rng(0)
    changed = []
    for shot in shots:
        axis = random.standard_normal(3)
        x, y, z = math.radians(degrees) * axis / np.linalg.norm(axis)
        wrong = np.eye(4)
        wrong[:3, :3] = torch.linalg.matrix_exp(torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])).numpy()
        wrong[:3, 3] = metres * random.standard_normal(3) / math.sqrt(3)
        changed.append(Shot(shot.image, shot.intrinsics, _float(wrong) @ shot.cam_from_world))
    return changed


def judge(shots: Sequence[Shot], points: Tensor, colors: Tensor, steps: int) -> dict[str, float]:
    """Train on most pictures, and give the decibels of those and of the others."""
    others = [shot for number, shot in enumerate(shots) if number % HELD_OUT != HELD_OUT // 2]
    held_out = [shot for number, shot in enumerate(shots) if number % HELD_OUT == HELD_OUT // 2]
    splats = train(others, points, colors, steps)
    return {"trained on": psnr(splats, others), "held out": psnr(splats, held_out)}


def compare(
    folder: Folder, true: Sequence[Shot] | None, *, steps: int, most: int, degrees: float = 1.0, metres: float = 0.03
) -> dict[str, dict[str, float]]:
    """Decibels with the cameras of the folder, with true ones if they are known, and with disturbed ones."""
    kept = torch.randperm(len(folder.points), generator=torch.Generator().manual_seed(0))[:most]
    seed = folder.points[kept], folder.colors[kept]
    cameras = {"of the folder": folder.shots} | ({"true": true} if true is not None else {})
    cameras[f"disturbed by {degrees:g} degrees, {100 * metres:g} cm"] = disturbed(folder.shots, degrees, metres)
    return {name: judge(shots, *seed, steps) for name, shots in cameras.items()}


def of_walk(root: Path, width: int, frames: int = 24) -> tuple[Folder, list[Shot]]:
    """Make a finished run of a rendered walk, export it, and read the folder; with the true cameras of the renderer."""
    room = importlib.import_module(ROOM).make_room(root, frames=frames)
    scene = export_run(FinishedRun(room.folder), root / "scene", source=str(room.photos))
    folder = read_folder(root / "scene", width)
    k = room.intrinsics_original.copy()
    k[:2, 2] += 0.5
    k[:2] *= width / room.pixel_map.original_size[1]
    k[:2, 2] -= 0.5
    poses = dict(zip(room.names, scene.upright @ room.world_from_cam, strict=True))
    cams = [_float(np.linalg.inv(poses[name])) for name in folder.names]
    return folder, [Shot(shot.image, _float(k), cam) for shot, cam in zip(folder.shots, cams, strict=True)]


def main() -> None:
    from report import add_out_flag, environment, finish, table  # found beside a script, which this is not in tests

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="an exported scene")
    parser.add_argument("--walk", action="store_true", help="make and export a rendered walk of 24 pictures instead")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--points", type=int, default=12_000)
    parser.add_argument("--width", type=int, default=128, help="of the pictures that are trained on, pixels")
    add_out_flag(parser)
    args = parser.parse_args()
    if (args.folder is None) != args.walk:
        parser.error("give a folder, or --walk")
    described = environment(torch.device("cpu"))
    true = None
    with tempfile.TemporaryDirectory() as temporary:
        if args.walk:
            read, true = of_walk(Path(temporary), args.width)
        else:
            read = read_folder(args.folder, args.width)
    scores = compare(read, true, steps=args.steps, most=args.points)
    print(table([{"cameras": name, **{k: round(v, 2) for k, v in row.items()}} for name, row in scores.items()]))
    settings = {"pictures": len(read.shots), "points": min(args.points, len(read.points)), "steps": args.steps}
    finish("splats", {"environment": described, **settings, "width": args.width, "psnr_db": scores}, args.out)


def _float(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).float()


if __name__ == "__main__":
    main()
