"""The pictures of synthetic rooms that the repository shows: the gallery of the documentation, and the example clip.

    python -m cut3r.data.showcase gallery docs/pictures/synthetic_rooms.jpg
    python -m cut3r.data.showcase clip assets

Both are rendered with 2x2 rays per pixel; depth maps are not: each value belongs to the middle of its pixel.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from cut3r.data.shading import render
from cut3r.data.synthetic import Plan, plan_walk, quantize
from cut3r.data.walks import WalkConfig
from cut3r.files.atomic import atomic_path
from cut3r.geometry.cameras import resize_intrinsics
from cut3r.io.images import write_image

GALLERY_SEED, GALLERY_TILE, GALLERY_ROWS, GALLERY_COLUMNS = 2024, (168, 224), 4, 6
GALLERY_WALK = 15  # the two lowest rows show this one
FAR_M = 6.0  # the darkest depth of the gallery
CLIP_SEED, CLIP_INDEX, CLIP_FPS = 2024, 5, 15
CLIP = WalkConfig(size=(288, 384), frames=90, fov_deg=(66.0, 66.0), speed_m=0.05, turn_deg=3.0, shake=0.6)
CLIP_DEPTH_SIZE = (96, 128)


def antialiased(plan: Plan, size: tuple[int, int], frames: slice = slice(None)) -> UInt8[Tensor, "v h w 3"]:
    """Render with 2x2 rays per pixel, without sensor noise; the plan's intrinsics belong to this size."""
    h, w = size
    intrinsics = resize_intrinsics(plan.intrinsics[frames], (2.0, 2.0))
    rgb, _ = render(plan.room, plan.world_from_cam[frames], intrinsics, (2 * h, 2 * w), plan.time_s[frames])
    return quantize(rgb.unflatten(2, (w, 2)).unflatten(1, (h, 2)).mean(dim=(2, 4)))


def make_gallery(path: Path) -> None:
    """Write a picture of many rooms, and of some frames of one walk with their depth."""
    config = WalkConfig(size=GALLERY_TILE, frames=60, moving=2)
    rooms = [
        antialiased(plan_walk(GALLERY_SEED, index, config), GALLERY_TILE, slice(0, 1))[0].numpy()
        for index in range(GALLERY_ROWS * GALLERY_COLUMNS)
    ]
    plan = plan_walk(GALLERY_SEED, GALLERY_WALK, config)
    some = slice(None, None, config.frames // GALLERY_COLUMNS)
    walk = antialiased(plan, GALLERY_TILE, some).numpy()
    _, depth = render(plan.room, plan.world_from_cam[some], plan.intrinsics[some], GALLERY_TILE, plan.time_s[some])
    rows = [*np.split(np.stack(rooms), GALLERY_ROWS), walk, depth_colors(depth)]
    write_image(path, np.concatenate([np.concatenate(list(row), axis=1) for row in rows]), quality=85)


def depth_colors(depth: Float[Tensor, "v h w"]) -> UInt8[np.ndarray, "v h w 3"]:
    """Near is red, far is blue."""
    nearness = (255 * (1 - depth / FAR_M).clamp(0, 1)).to(torch.uint8).numpy()
    return np.stack([cv2.applyColorMap(frame, cv2.COLORMAP_TURBO)[..., ::-1] for frame in nearness])


def make_clip(folder: Path) -> None:
    """Write example.mp4 and example_ground_truth.npz.

    The truth holds `world_from_cam` (world: z up, the origin in a corner of the floor), `intrinsics` of the video,
    `time_s`, and `depth_mm`, uint16, at a third of the size, with its own `depth_intrinsics`.
    """
    plan = plan_walk(CLIP_SEED, CLIP_INDEX, CLIP)
    scale = CLIP_DEPTH_SIZE[1] / CLIP.size[1]
    depth_intrinsics = resize_intrinsics(plan.intrinsics, (scale, scale))
    _, depth = render(plan.room, plan.world_from_cam, depth_intrinsics, CLIP_DEPTH_SIZE, plan.time_s)
    with atomic_path(folder / "example.mp4") as temporary:
        write_video(temporary, antialiased(plan, CLIP.size).numpy(), CLIP_FPS)
    with atomic_path(folder / "example_ground_truth.npz") as temporary:
        np.savez_compressed(
            temporary,
            world_from_cam=plan.world_from_cam.numpy(),
            intrinsics=plan.intrinsics.numpy(),
            time_s=np.arange(CLIP.frames) / CLIP_FPS,
            depth_mm=(1000 * depth).round().numpy().astype(np.uint16),
            depth_intrinsics=depth_intrinsics.numpy(),
        )


def write_video(path: Path, frames: UInt8[np.ndarray, "v h w 3"], fps: int) -> None:
    """Write MPEG-4, which every build of OpenCV can write and read.

    Raises:
        OSError: This build cannot.
    """
    h, w = frames.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (w, h))
    if not writer.isOpened():
        raise OSError(f"OpenCV cannot write {path} as MPEG-4; install the wheel opencv-python-headless, which can")
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("gallery", "clip"))
    parser.add_argument("path", type=Path, help="of the picture; the folder of the clip")
    args = parser.parse_args()
    (make_gallery if args.what == "gallery" else make_clip)(args.path)


if __name__ == "__main__":
    main()
