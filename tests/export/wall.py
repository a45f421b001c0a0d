"""A slanted wall that photos of any shape look at, as true results of a stream: fitted by the library's own code."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from cut3r.geometry.cameras import unproject
from cut3r.inference.preprocess import FitConfig, fit
from cut3r.inference.result import FrameResult
from cut3r.io.frame import Frame
from cut3r.io.frames import open_frames
from cut3r.model.prediction import Prediction

NORMAL, DISTANCE = np.array([0.2, -0.1, 1.0]), 3.0  # the wall: world points X with NORMAL . X = DISTANCE, metres
ORIENTATION = 0x0112


@dataclass
class Wall:
    """What is true: the camera in pixels of the upright photos, and where each stood."""

    folder: Path
    intrinsics: np.ndarray = field(default_factory=lambda: np.array([[210.0, 0, 96.3], [0, 214, 61.8], [0, 0, 1]]))
    config: FitConfig = field(default_factory=lambda: FitConfig(size=64))
    frames: int = 4
    video: bool = False  # time stamps, and no file to copy

    def pose(self, number: int) -> np.ndarray:
        """world_from_cam: a step to the side and down, turned a little; held neither level nor straight."""
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("yxz", (0.04 * number, 0.12, 0.08 - 0.01 * number)).as_matrix()
        pose[:3, 3] = (0.1 * number - 0.1, 0.02 * number, 0.03 * number)
        return pose

    def depth(self, number: int, intrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Metres along z for each pixel centre."""
        v, u = np.mgrid[: size[0], : size[1]]
        rays = np.stack((u, v, np.ones(size)), axis=-1) @ np.linalg.inv(intrinsics).T
        pose = self.pose(number)
        return (DISTANCE - NORMAL @ pose[:3, 3]) / (rays @ (pose[:3, :3].T @ NORMAL))

    def seen(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Points of the wall in the world, and the pixels of the upright photo that show them."""
        world = np.random.default_rng(1).uniform(-0.4, 0.4, (20, 3))
        world[:, 2] = (DISTANCE - world[:, :2] @ NORMAL[:2]) / NORMAL[2]
        pose = self.pose(number)
        cam = (world - pose[:3, 3]) @ pose[:3, :3]
        return world, (cam @ self.intrinsics.T)[:, :2] / cam[:, 2:]

    def results(self) -> Iterator[FrameResult]:
        for number, frame in enumerate(open_frames(str(self.folder))):
            image, pixel_map = fit(frame.rgb, self.config, name=frame.name)
            intrinsics = pixel_map.intrinsics_to_image(torch.from_numpy(self.intrinsics))
            depth = torch.from_numpy(self.depth(number, intrinsics.numpy(), pixel_map.image_size))
            pose = torch.from_numpy(self.pose(number))
            prediction = Prediction(
                points_cam=unproject(depth, intrinsics)[None].float(),
                conf_cam=torch.full((1, *pixel_map.image_size), 5.0),
                world_from_cam=pose[None].float(),
            )
            if self.video:
                frame = Frame(frame.rgb, number, number / 7, f"clip.mp4#{number:06d}")
            yield FrameResult(frame, number, image, prediction, intrinsics.float(), pixel_map, pixel_map.inside())


def make_photos(folder: Path, size: tuple[int, int], *, frames: int = 4, orientation: int = 1) -> None:
    """Write photos of noise that are of `size` (h, w) when they are upright; some are stored turned."""
    folder.mkdir()
    turn = {1: None, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270, 3: Image.Transpose.ROTATE_180}
    for number in range(frames):
        rgb = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
        picture, exif = Image.fromarray(rgb), Image.Exif()
        if (transpose := turn[orientation]) is not None:
            picture = picture.transpose(transpose)
            exif[ORIENTATION] = orientation
        picture.save(folder / f"IMG_{number}.png", exif=exif)
