"""What the network of an ended run remembers: its session again, to be asked for views that no camera took."""

from collections.abc import Sequence
from math import radians
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from cut3r.files.atomic import atomic_path
from cut3r.inference.frame_folder import SavedFrame, is_frame_file, read_frame_folder
from cut3r.inference.result import QueryResult
from cut3r.inference.session import Session
from cut3r.io.depth import write_depth
from cut3r.io.images import write_image
from cut3r.run.output_check import MARKER, RESUME_FILES
from cut3r.run.output_folder import read_marker
from cut3r.run.resume import ResumePoint
from cut3r.speed.device import check_device
from cut3r.speed.precision import apply_precision
from cut3r.weights import checkpoint


class Remembered:
    """A folder of a run that can be asked.

    Raises:
        FileNotFoundError: No such folder, or none of a run.
        ValueError: Its marker is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}; expected is the --output_dir of a run")
        marker = read_marker(folder / MARKER)
        if marker is None or not any((folder / name).is_file() for name in RESUME_FILES):
            raise FileNotFoundError(
                f"{folder} has no {MARKER} with {RESUME_FILES[0]}, in which a run leaves what its network remembers; "
                "runs of live sources and alignments leave none"
            )
        self._settings = marker.settings

    def frame(self, number: int | None) -> SavedFrame:
        """Read a frame's files.

        Args:
            number: Which one; None takes the last one that has files.

        Raises:
            FileNotFoundError: It has none.
        """
        numbers = sorted(int(path.stem) for path in (self.folder / "camera").glob("*.npz") if is_frame_file(path))
        if not numbers or (number is not None and number not in numbers):
            which = "no frame" if number is None else f"no frame {number}"
            there = f"there are {numbers[0]} to {numbers[-1]}" if numbers else "run again without --save-frames none"
            raise FileNotFoundError(f"{self.folder} has files of {which}; {there}")
        return next(read_frame_folder(self.folder, numbers[-1] if number is None else number))

    def session(self, model_path: str | None = None, device: str = "auto") -> Session:
        """Load the network and what it remembered at the end.

        Args:
            model_path: The network, if it is not where the run had it.

        Raises:
            FileNotFoundError: The network is not there.
            ValueError: It is another one, or what it remembered is damaged.
        """
        name = model_path or self._settings.get("model_path", "None")
        precision = apply_precision(self._settings.get("dtype", "auto"))
        model = checkpoint.load("tiny" if name == "None" else name, device=check_device(device), dtype=precision)
        session = Session(model, update=self._settings.get("update", "overwrite"))
        scene = ResumePoint(self.folder / RESUME_FILES[0], self._settings).load(session)
        assert scene is not None, "its file was there"
        return session


def beside(
    world_from_cam: Float[np.ndarray, "4 4"], move: Sequence[float], turn_deg: Sequence[float]
) -> Float[torch.Tensor, "4 4"]:
    """The camera that stands beside another one.

    Args:
        move: Metres along its axes: right, down, ahead.
        turn_deg: To the right, and then up.
    """
    yaw, pitch = map(radians, turn_deg)
    right = torch.tensor([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    up = torch.tensor([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    cam_from_new = torch.eye(4, dtype=torch.float64)
    cam_from_new[:3, :3], cam_from_new[:3, 3] = right @ up, torch.tensor(move, dtype=torch.float64)
    return (torch.from_numpy(world_from_cam).double() @ cam_from_new).float()


def write_answer(answer: QueryResult, folder: Path) -> None:
    """Write what the network expects to see, as the files of a frame."""
    folder.mkdir(parents=True, exist_ok=True)
    write_image(folder / "color.png", answer.rgb)
    write_depth(folder / "depth.npy", answer.depth.where(answer.on_surfaces(None), 0.0).numpy())
    with atomic_path(folder / "conf.npy") as temporary:
        np.save(temporary, answer.confidence.numpy())
    camera: dict[str, Any] = {"pose": answer.world_from_cam.numpy(), "intrinsics": answer.intrinsics.numpy()}
    with atomic_path(folder / "camera.npz") as temporary:
        np.savez(temporary, **camera)
