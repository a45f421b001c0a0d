"""Depth of frames whose network's depth nobody kept: that of the reconstruction's points, seen by their cameras."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from cut3r.export.render import Cloud, draw_depth
from cut3r.geometry.cameras import unproject
from cut3r.inference.cameras import Cameras, pixel_map_of
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.result import FrameResult
from cut3r.io.frame import Frame
from cut3r.model.prediction import Prediction


def drawn_results(scene: Reconstruction, frames: Iterable[Frame]) -> Iterator[FrameResult]:
    """Give the frames that the scene has cameras of, as results, in their order.

    Raises:
        ValueError: The scene has no points, or a frame has another size than it had.
    """
    cameras, points = scene.cameras, scene.cloud()
    cloud = Cloud.of(points.points, points.colors)
    numbers = {
        (int(cameras.indices[number]), cameras.names[number]): number
        for number in np.flatnonzero(cameras.finite).tolist()
    }
    for count, (frame, number) in enumerate(
        (frame, numbers[frame.index, frame.name]) for frame in frames if (frame.index, frame.name) in numbers
    ):
        if frame.rgb.shape[:2] != tuple(cameras.original_sizes[number].tolist()):
            (h, w), (h0, w0) = frame.rgb.shape[:2], cameras.original_sizes[number]
            raise ValueError(f"{frame.name} has {w}x{h} pixels now, but {w0}x{h0} when it was reconstructed")
        yield _result(cloud, cameras, number, frame, count, scene.confidence)


def _result(cloud: Cloud, cameras: Cameras, number: int, frame: Frame, count: int, confidence: float) -> FrameResult:
    pixel_map = pixel_map_of(cameras, number)
    pose, intrinsics = cameras.world_from_cam[number].astype(float), cameras.intrinsics[number].astype(float)
    depth = torch.from_numpy(draw_depth(cloud, intrinsics, pose, pixel_map.image_size))
    image = torch.stack([pixel_map.nearest_to_image(frame.rgb[..., channel]) for channel in range(3)], dim=-1)
    prediction = Prediction(
        points_cam=unproject(depth.double(), torch.from_numpy(intrinsics))[None].float(),
        conf_cam=torch.full((1, *pixel_map.image_size), confidence + 1),
        world_from_cam=torch.from_numpy(pose).float()[None],
    )
    valid = (depth > 0) & (pixel_map.inside() if frame.mask is None else pixel_map.mask_to_image(frame.mask))
    return FrameResult(frame, count, image.numpy(), prediction, torch.from_numpy(intrinsics).float(), pixel_map, valid)
