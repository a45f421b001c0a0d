"""The README's moving picture: a finished run, once more, frame by frame: its picture, its depth, its growing points.

Points appear with the frame they come from; the red path is that of the camera as the run has it. Nothing is shown that
the run has not written.

    python demo.py --output_dir out --no-viewer
    PYTHONPATH=benchmarks:. python benchmarks/moving_picture.py out docs/pictures/example.webp
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image, ImageDraw

from cut3r.export.render import Cloud, render
from cut3r.files.atomic import atomic_path
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.view import View
from cut3r.io.turbo import turbo
from cut3r.run.finished import FinishedRun
from cut3r.run.known import Known

SIDE, SCENE, GAP = (180, 240), (366, 560), 6  # (h, w) of the small pictures and of the large one; pixels between them
EVERY, FPS, LAST_S = 2, 8, 1.5
FOCAL = 420.0  # pixels, of the large picture
BEHIND, ABOVE = 0.75, 0.15  # shares of the usual depth: from where one looks over the camera's shoulder
AROUND, STEPS = 0.30, 24  # in the end one looks from both sides: so much of the usual depth, in so many pictures
VOXEL_M, POINTS = 0.015, 600_000
SMALLER = 0.75  # of the width at which no gap is left
PATH = (214, 39, 40)
QUALITY = 62


def pictures(run: FinishedRun) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Draw one picture per `EVERY` frames, then a look from both sides."""
    scene = Reconstruction(voxel_size=VOXEL_M, max_points=POINTS)
    seen: list[View] = []
    for view, _ in run.views(Known()):
        scene.add(view)
        seen.append(view)
    points = scene.cloud()
    assert points.frame is not None
    whole = Cloud.of(points.points, points.colors)
    whole = replace(whole, widths=SMALLER * whole.widths)
    poses = np.stack([view.world_from_cam.double().numpy() for view in seen])
    inverse = [1 / view.depth[view.valid].numpy() for view in seen]
    low, high = np.percentile(np.concatenate(inverse), (2, 98))
    usual = float(1 / np.median(np.concatenate(inverse)))
    for number in range(0, len(seen), EVERY):
        known = points.frame <= number
        cloud = Cloud(whole.points[known], whole.colors[known], whole.widths[known])
        view = seen[number]
        depth = turbo((1 / view.depth.numpy() - low) / (high - low))
        yield _sheet(view.image, depth, _scene(cloud, _smooth(poses, number), poses[: number + 1], usual, aside=0.0))
    for step in range(1, STEPS + 1):
        aside = AROUND * np.sin(2 * np.pi * step / STEPS)
        yield _sheet(view.image, depth, _scene(whole, _smooth(poses, number), poses, usual, aside))


def _smooth(poses: Float64[np.ndarray, "n 4 4"], number: int) -> Float64[np.ndarray, "4 4"]:
    """The camera between those around it: a hand shakes."""
    mean = poses[max(0, number - 6) : number + 7].mean(axis=0)
    u, _, vt = np.linalg.svd(mean[:3, :3])
    mean[:3, :3] = u @ vt
    return mean


def _scene(
    cloud: Cloud,
    camera: Float64[np.ndarray, "4 4"],
    path: Float64[np.ndarray, "n 4 4"],
    usual: float,
    aside: float,
) -> UInt8[np.ndarray, "h w 3"]:
    """The points and the path from over the camera's shoulder, turned towards what it looks at."""
    h, w = SCENE
    right, down, ahead = camera[:3, :3].T
    eye = camera[:3, 3] + usual * (aside * right - ABOVE * down - BEHIND * ahead)
    towards = camera[:3, 3] + usual * ahead - eye
    towards /= np.linalg.norm(towards)
    across = np.cross(down, towards)
    across /= np.linalg.norm(across)
    world_from_eye = np.eye(4)
    world_from_eye[:3] = np.column_stack((across, np.cross(towards, across), towards, eye))
    intrinsics = np.array([[FOCAL, 0, (w - 1) / 2], [0, FOCAL, (h - 1) / 2], [0, 0, 1]])
    picture = Image.fromarray(render(cloud, intrinsics, world_from_eye, SCENE))
    draw = ImageDraw.Draw(picture)
    places = (path[:, :3, 3] - eye) @ world_from_eye[:3, :3]
    pixels = [tuple((intrinsics @ place)[:2] / place[2]) for place in places if place[2] > 0.05]
    if len(pixels) > 1:
        draw.line(pixels, fill=PATH, width=2, joint="curve")
    if pixels:
        x, y = pixels[-1]
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=PATH)
    return np.asarray(picture)


def _sheet(
    rgb: UInt8[np.ndarray, "h w 3"], depth: UInt8[np.ndarray, "h w 3"], scene: UInt8[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    small = [np.asarray(Image.fromarray(picture).resize(SIDE[::-1])) for picture in (rgb, depth)]
    left = np.concatenate((small[0], np.full((GAP, SIDE[1], 3), 255, np.uint8), small[1]))
    return np.concatenate((left, np.full((len(left), GAP, 3), 255, np.uint8), scene), axis=1)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the --output_dir of a run of demo.py")
    parser.add_argument("picture", type=Path, help="a .webp")
    args = parser.parse_args(arguments)
    sheets = [Image.fromarray(picture) for picture in pictures(FinishedRun(args.run))]
    durations = [round(1000 / FPS)] * (len(sheets) - 1) + [round(1000 * LAST_S)]
    with atomic_path(args.picture) as temporary:
        options = {"duration": durations, "loop": 0, "quality": QUALITY, "method": 4}
        sheets[0].save(temporary, format="WEBP", save_all=True, append_images=sheets[1:], **options)
    print(f"{len(sheets)} pictures, {args.picture.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
