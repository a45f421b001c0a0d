"""Eight datasets made from nothing, in their layouts, codecs and sizes.

All show one walk through a rendered room, stretched to each set's size, with the noise of a camera on it: without, PNG
files would be far smaller than those of photographs, and cheaper to decode.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from cut3r.data.datasets import PROCESSED
from cut3r.data.layout import Layout
from cut3r.data.shading import render
from cut3r.data.synthetic import plan_walk, quantize
from cut3r.data.walks import WalkConfig
from cut3r.io.images import resize
from datasets_preprocess import CONVERTERS
from datasets_preprocess.pack import pack
from datasets_preprocess.writer import Writer

RENDERED = (240, 320)  # (h, w)
NOISE = 3.0  # of 255, standard deviation: a good camera indoors
LIDAR_SHARE = 0.05  # of the pixels that see depth outdoors

Size = tuple[int, int]


@dataclass(frozen=True)
class SetPlan:
    """How a dataset is stored: its size in pixels, its codecs, its scenes below the root, and what it calls poses."""

    slug: str
    size: Size
    codecs: str
    scenes: tuple[str, ...]
    pose: str = "pose"
    intrinsics: str = "intrinsics"
    frame: str = "{:06d}"


PLANS = (
    SetPlan("tartanair", (480, 640), "png, npy", ("a/Easy/P000", "b/Easy/P000"), "camera_pose", "camera_intrinsics"),
    SetPlan("hypersim", (768, 1024), "png, npy", ("ai_001_001/cam_00", "ai_001_002/cam_00")),
    SetPlan("threedkb", (512, 512), "png, exr", ("a", "b")),
    SetPlan("scannet", (480, 640), "jpg, png16", ("scans_train/scene0000_00", "scans_train/scene0001_00")),
    SetPlan(
        "vkitti2",
        (375, 1242),
        "jpg, png16",
        ("Scene01/clone/Camera_0", "Scene02/clone/Camera_0"),
        "camera_pose",
        "camera_intrinsics",
    ),
    SetPlan("waymo", (341, 512), "jpg, npz", ("segment_a", "segment_b"), "cam2world", frame="{:05d}_1"),
    SetPlan("blendedmvs", (384, 512), "jpg, exr", ("a", "b")),
    SetPlan("pointodyssey", (540, 960), "jpg, npy", ("train/kg", "train/girl")),
)


def make_sets(folder: Path, frames: int) -> None:
    """Write the eight sets below `folder`/plain, and pack them into `folder`/packed."""
    rgb, depth = walk(frames)
    for plan in PLANS:
        plain, packed = folder / "plain" / plan.slug, folder / "packed" / plan.slug
        write_set(plan, plain, rgb, depth)
        if not pack(CONVERTERS[plan.slug], plain, packed).complete:
            raise RuntimeError(f"{plan.slug} was not packed")


def walk(frames: int) -> tuple[UInt8[np.ndarray, "n h w 3"], Float32[np.ndarray, "n h w"]]:
    """Render a walk."""
    plan = plan_walk(7, 0, WalkConfig(size=RENDERED, frames=frames))
    parts = [
        render(plan.room, plan.world_from_cam[i : i + 1], plan.intrinsics[i : i + 1], RENDERED, plan.time_s[i : i + 1])
        for i in range(frames)
    ]
    return quantize(torch.cat([rgb for rgb, _ in parts])).numpy(), torch.cat([depth for _, depth in parts]).numpy()


def write_set(
    plan: SetPlan, root: Path, rgb: UInt8[np.ndarray, "n h w 3"], depth: Float32[np.ndarray, "n h w"]
) -> None:
    layout: Layout = PROCESSED[plan.slug].layout
    h, w = plan.size
    rng = np.random.default_rng(PLANS.index(plan))
    intrinsics = np.array([[0.8 * w, 0, (w - 1) / 2], [0, 0.8 * w, (h - 1) / 2], [0, 0, 1]])
    for scene in plan.scenes:
        writer = Writer(root, layout)
        names = [plan.frame.format(number) for number in range(len(rgb))]
        for number, name in enumerate(names):
            picture = resize(rgb[number], plan.size) + rng.normal(0, NOISE, (h, w, 3))
            writer.image("rgb", scene, name, picture.clip(0, 255).astype(np.uint8), quality=90)
            _write_depth(plan, writer, scene, name, _enlarged(depth[number], plan.size), rng)
            pose = np.eye(4)
            pose[0, 3] = 0.05 * number
            writer.npz("camera", scene, name, **_camera(plan, intrinsics, pose))
        if plan.slug == "blendedmvs":  # which frames see the same
            indices = np.array([(i, j) for i in range(len(names)) for j in range(len(names)) if i != j]).T
            writer.npz("overlap", scene, basenames=np.array(names), indices=indices, values=np.ones(indices.shape[1]))


def _camera(plan: SetPlan, intrinsics: np.ndarray, pose: np.ndarray) -> dict[str, Any]:
    if plan.slug == "blendedmvs":
        return {"intrinsics": intrinsics, "R_cam2world": pose[:3, :3], "t_cam2world": pose[:3, 3]}
    return {plan.intrinsics: intrinsics, plan.pose: pose}


def _write_depth(
    plan: SetPlan, writer: Writer, scene: str, name: str, metres: Float32[np.ndarray, "h w"], rng: np.random.Generator
) -> None:
    if plan.slug == "waymo":
        metres = np.where(rng.random(metres.shape) < LIDAR_SHARE, metres, np.float32(0))
    if plan.codecs.endswith("png16"):
        codes = metres * (100 if plan.slug == "vkitti2" else 1000)
        writer.png16("depth", scene, name, (codes + rng.normal(0, 2, codes.shape)).clip(0, 65000).astype(np.uint16))
    else:
        writer.depth("depth", scene, name, metres)


def _enlarged(depth: Float32[np.ndarray, "h0 w0"], size: Size) -> Float32[np.ndarray, "h w"]:
    pixels = torch.from_numpy(depth)[None, None]
    return torch.nn.functional.interpolate(pixels, size, mode="bilinear")[0, 0].numpy()
