"""Frames of synthetic walks, with exact depth, and the mistakes that converters make with them."""

from dataclasses import replace
from functools import cache
from io import BytesIO
from zlib import crc32

import numpy as np
import torch
from PIL import Image

from cut3r.data import hypotheses
from cut3r.data.synthetic import synthetic_walk
from cut3r.data.view import RawFrame
from cut3r.data.walks import WalkConfig
from cut3r.geometry.cameras import camera_rays


@cache
def walk_frames(seed, *, size=(72, 96), frames=24, **config) -> tuple[RawFrame, ...]:
    walk = synthetic_walk(seed, 0, WalkConfig(size=size, frames=frames, **config))
    return tuple(
        RawFrame(rgb.numpy(), depth.numpy(), intrinsics.double().numpy(), world_from_cam.double().numpy())
        for rgb, depth, intrinsics, world_from_cam in zip(*vars(walk).values(), strict=True)
    )


def pairs_of(frames, *, gap=6, count=6):
    starts = np.linspace(0, len(frames) - 1 - gap, count).astype(int)
    return [(frames[start], frames[start + gap]) for start in starts]


def along_ray(frame):
    length = camera_rays(torch.from_numpy(frame.intrinsics), frame.size).norm(dim=-1).numpy()
    return replace(frame, depth=(frame.depth * length).astype(np.float32))


def scrambled(frame, radial=0.03):
    """The parameters of a camera with one focal length and a distortion, as those of one without."""
    (focal, _), (cx, cy) = frame.intrinsics.diagonal()[:2], frame.intrinsics[:2, 2]
    return replace(frame, intrinsics=np.array([[focal, 0, cy], [0, cx, radial], [0, 0, 1]]))


MISTAKES = {  # by the name of the hypothesis that undoes it
    "pose inverted": hypotheses.inverted_pose,
    "OpenGL axes": hypotheses.opengl_axes,
    "depth along ray": along_ray,
    "depth x0.001": lambda frame: hypotheses.scaled_depth(frame, 1000.0),
    "depth x100": lambda frame: hypotheses.scaled_depth(frame, 0.01),
    "K transposed": hypotheses.transposed_intrinsics,
    "K with x, y swapped": hypotheses.swapped_intrinsics,
    "K of (f, cx, cy, k)": scrambled,
    "principal point +0.5 px": lambda frame: hypotheses.moved_center(frame, (-0.5, -0.5)),
    "principal point -0.5 px": lambda frame: hypotheses.moved_center(frame, (0.5, 0.5)),
}


def exact(frame):
    return frame


def sparse(frame, share=0.02):
    """Depth at a few pixels, others in each frame."""
    rng = np.random.default_rng(crc32(frame.rgb.tobytes()))
    return replace(frame, depth=np.where(rng.random(frame.depth.shape) < share, frame.depth, np.float32(0)))


def stored(frame, unit=0.001):
    """As files hold it: 16-bit depth in millimetres, JPEG."""
    file = BytesIO()
    Image.fromarray(frame.rgb).save(file, "JPEG", quality=85)
    depth = (np.round(frame.depth / unit).astype(np.uint16) * unit).astype(np.float32)
    return replace(frame, rgb=np.array(Image.open(file)), depth=depth)
