"""Runs with what is known of the cameras, for all programs that take such flags: cameras, masks, and wrong flags."""

from pathlib import Path

import numpy as np
from PIL import Image

from cut3r.io.trajectory import write_kitti


def cameras(n: int, step: tuple[float, float] = (0.3, 3.0)) -> np.ndarray:
    """On an arc, looking ahead: so many metres to the side each, and from where on."""
    world_from_cams = np.tile(np.eye(4), (n, 1, 1))
    world_from_cams[:, 0, 3] = step[1] + step[0] * np.arange(n)
    world_from_cams[:, 1, 3] = 0.1 * np.arange(n) ** 2
    return world_from_cams


def calibration(folder: Path) -> Path:
    """Of pictures twice as large as those of the tests; `GIVEN` is what it says of those."""
    path = folder / "camera.yaml"
    path.write_text("fx: 120\nfy: 122\ncx: 63\ncy: 47\nwidth: 128\nheight: 96\n")
    return path


GIVEN = np.array([[60.0, 0, 31.25], [0, 61, 23.25], [0, 0, 1]])


def half_masks(folder: Path, count: int = 8) -> Path:
    """Black on the left, white on the right."""
    folder.mkdir()
    for number in range(count):
        white = np.zeros((48, 64), np.uint8)
        white[:, 32:] = 255
        Image.fromarray(white).save(folder / f"{number:03d}.png")
    return folder


def with_poses(flags: list[str], folder: Path) -> list[str]:
    """Name a file of three poses where flags say POSES."""
    write_kitti(folder / "poses.txt", cameras(3))
    return [str(folder / "poses.txt") if flag == "POSES" else flag for flag in flags]


def assert_one_sentence(said: str, program: str, part: str) -> None:
    last = said.splitlines()[-1]
    assert part in last and last.startswith(f"{program}: ")
