"""A dataset without files: frame i is a flat wall, 2 + i/10 m away, seen from i/10 m to the right."""

import numpy as np

from cut3r.data.dataset import MultiViewDataset
from cut3r.data.sampling import SamplingPolicy
from cut3r.data.scene import Scene
from cut3r.data.view import RawFrame

FAR_AWAY = 20_000.0  # metres from the world's origin, as in city-wide datasets


class Toy(MultiViewDataset):
    name = "Toy"
    metric = True
    policy = SamplingPolicy(max_interval=3)

    def __init__(self, root=None, *, frames=(12, 9), broken=(), empty=(), **options):
        self.frames, self.broken, self.empty = frames, set(broken), set(empty)
        super().__init__(root, **{"num_views": 4, "sizes": [(24, 32)], **options})

    def index(self):
        for number, count in enumerate(self.frames):
            yield Scene(f"scene{number}", tuple(str(i) for i in range(count)))

    def read(self, scene, position):
        if f"{scene.name}/{position}" in self.broken:
            raise OSError("the file is truncated")
        return toy_frame(position, empty=f"{scene.name}/{position}" in self.empty)


class Walker(Toy):
    """Its samples are videos with a step of one, so a test knows which frames it gets."""

    policy = SamplingPolicy(max_interval=1, video_prob=1.0)


class ObjectToy(Walker):
    metric = False
    needs_depth = True
    foreground_prob = 0.5


def toy_frame(number, *, empty=False, size=(48, 64)):
    world_from_cam = np.eye(4)
    world_from_cam[0, 3] = FAR_AWAY + 0.1 * number
    depth = np.full(size, 0 if empty else 2 + number / 10, dtype=np.float32)
    depth[0] = -1  # sky
    depth[:, 0] = 0
    rgb = np.full((*size, 3), 10 * number % 256, dtype=np.uint8)
    rgb[..., 1] = np.arange(size[1]) * 3
    intrinsics = np.array([[50.0, 0, 32], [0, 50.0, 24], [0, 0, 1]])
    foreground = np.zeros(size, dtype=bool)
    foreground[12:36, 16:48] = True
    return RawFrame(rgb, depth, intrinsics, world_from_cam, foreground)


def numbers(views):
    """Which frames a sample shows."""
    labels = (view.label if isinstance(view.label, str) else view.label[0] for view in views)
    return [int(label.split("/")[-1]) for label in labels]
