"""ScanNet: every 3rd frame of a test scan, the first 90 or N, from .sens files or from exported folders."""

import io
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from cut3r.data.layout import write_png16
from eval.prepare.runner import Job, Order, Preparer
from eval.prepare.sens import JPEG, SensFrame, read_frames, read_header
from eval.sequences.inventory import list_files
from eval.sequences.scannet import FRAMES, SCENES, folder_of
from eval.sequences.sevenscenes import read_pose

STEP = 3
FOLDERS = {"color": ".jpg", "depth": ".png", "pose": ".txt"}  # as ScanNet's own reader exports them
REENCODED_QUALITY = 75  # Pillow's default


def jobs(order: Order) -> Iterator[Job]:
    frames = order.frames or FRAMES
    for name in SCENES:
        folder = folder_of(order.out, order.frames) / name
        targets = (folder / f"depth_{frames}", folder / f"pose_{frames}.txt", folder / f"color_{frames}")
        yield Job(name, targets, partial(make, order, name))


def make(order: Order, scene: str, hidden: tuple[Path, ...]) -> str:
    """Write the frames of a scene; lost cameras (-inf) keep their lines.

    The colour pictures of a .sens file are stored as they were recorded. Parity: they are decoded and written again,
    and poses have six decimals, as in exported folders.

    Raises:
        FileNotFoundError: The scene is not in the raw folder.
        ValueError: It has fewer frames than the published set takes, or its .sens file is damaged.
    """
    folder = next((path for path in (order.raw / scene, order.raw / "scans_test" / scene) if path.is_dir()), None)
    if folder is None:
        raise FileNotFoundError(f"there is no folder {scene} in {order.raw} or its scans_test; download it")
    recording = folder / f"{scene}.sens"
    write = _from_recording if recording.is_file() else _from_folders
    count = write(order, recording if recording.is_file() else folder, hidden)
    if count == 0 or (order.frames is None and count < FRAMES):
        raise ValueError(f"{folder} gives {count} frames at step {STEP}; expected {FRAMES}; download it again")
    return f"{count} frames"


def chosen(total: int, frames: int | None) -> range:
    """Number the frames to take from a scan of `total`. (The long variants never take a last, incomplete step.)"""
    if frames is None:
        return range(0, min(total, STEP * FRAMES), STEP)
    return range(0, STEP * min(frames, total // STEP), STEP)


def _from_recording(order: Order, recording: Path, hidden: tuple[Path, ...]) -> int:
    depth_folder, pose_file, color_folder = hidden
    color_folder.mkdir()
    poses = []
    with recording.open("rb") as file:
        header = read_header(file)
        wanted = chosen(header.frames, order.frames)
        for number, frame in zip(range(len(wanted)), read_frames(file, header, wanted), strict=False):
            (color_folder / f"frame_{number:04d}.jpg").write_bytes(
                frame.color if header.color_codec == JPEG and not order.parity else _reencoded(frame)
            )
            write_png16(depth_folder / f"frame_{number:04d}.png", frame.depth_mm)
            poses.append(np.round(frame.world_from_cam, 6) if order.parity else frame.world_from_cam)
    _write_poses(pose_file, poses)
    return len(poses)


def _from_folders(order: Order, folder: Path, hidden: tuple[Path, ...]) -> int:
    """Join colour, depth and pose by their numbers. Parity: the first to the first and so on (quirk 29)."""
    kinds = [_numbered(folder / kind, suffix) for kind, suffix in FOLDERS.items()]
    if order.parity:
        joined = list(zip(*[files.values() for files in kinds], strict=False))
    else:
        joined = [tuple(files[i] for files in kinds) for i in kinds[0] if all(i in files for files in kinds)]
    taken = [joined[i] for i in chosen(len(joined), order.frames)]
    depth_folder, pose_file, color_folder = hidden
    depth_folder.mkdir()
    color_folder.mkdir()
    for number, (color, depth, _) in enumerate(taken):
        shutil.copyfile(color, color_folder / f"frame_{number:04d}.jpg")
        shutil.copyfile(depth, depth_folder / f"frame_{number:04d}.png")
    _write_poses(pose_file, [read_pose(pose) for _, _, pose in taken])
    return len(taken)


def _numbered(folder: Path, suffix: str) -> dict[int, Path]:
    """List the files of a folder in the order of their numbers."""
    if not folder.is_dir():
        raise FileNotFoundError(f"there is neither {folder} nor a .sens file beside it; export the scan or download it")
    return {int(path.stem): path for path in sorted(list_files(folder, suffix), key=lambda path: int(path.stem))}


def _write_poses(path: Path, poses: list[np.ndarray]) -> None:
    np.savetxt(path, np.array(poses).reshape(-1, 16))


def _reencoded(frame: SensFrame) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(frame.color)) as image:
        image.convert("RGB").save(buffer, format="JPEG", quality=REENCODED_QUALITY)
    return buffer.getvalue()


PREPARER = Preparer(
    "scannet",
    "ScanNet v2: 100 test scans, 90 frames each",
    "scans_test: a folder per scene with <scene>.sens, or with color/, depth/ and pose/",
    jobs,
    by_length=True,
)
