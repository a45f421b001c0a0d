"""One set of files per frame, written while the stream runs: depth, confidence, picture, camera.

    depth/kkkkkk.npy     float32 h w, metres along the optical axis; 0 where the result is not valid
    conf/kkkkkk.npy      float32 h w, >= 1, the confidence of that depth
    color/kkkkkk.png     uint8 h w 3, the network's image
    camera/kkkkkk.npz    pose (world_from_cam, 4x4) and intrinsics (3x3, pixels of the network's image), and how to get
                         back to the original image and file: see `SavedFrame`

kkkkkk counts the frames from 0. Every file is written atomically and the camera last: a frame with a camera file is
finished.
Source: the original's demo writes the same four folders (specification, inference, section 7).
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8

from cut3r.files.atomic import atomic_path
from cut3r.geometry.registration import Similarity
from cut3r.inference.chunk_file import read_places
from cut3r.inference.preprocess import PixelMap
from cut3r.inference.quality import Quality
from cut3r.inference.result import FrameResult
from cut3r.inference.sink import Sink
from cut3r.inference.view import View
from cut3r.io.depth import read_depth, write_depth
from cut3r.io.images import read_image, write_image

logger = logging.getLogger(__name__)

SUFFIXES = {"depth": ".npy", "conf": ".npy", "color": ".png", "camera": ".npz"}
NUMBER = r"(\d{6}|[1-9]\d{6,})"  # six digits, more from a million frames on
FRAME_FILE = re.compile(rf"{NUMBER}\.\w+")
HALF_WRITTEN = re.compile(rf"\.{NUMBER}\.[0-9a-f]{{12}}\.\w+")  # left by a write that was killed


class FrameFolder(Sink):
    """A sink that writes the files of each frame as its result arrives, and keeps nothing in memory.

    Args:
        folder: Gets the four folders; created when missing. `begin` removes files in them that are named like those of
            a frame, so give it a folder of its own.
        every: Write only the frames whose number is a multiple of this.
        parity: Write exactly what the original writes: depth also where it is not valid, colours truncated instead of
            exact (63 of the 256 levels come out one too low, quirk Q24), only `pose` and `intrinsics` as camera.
    """

    def __init__(self, folder: str | Path, *, every: int = 1, parity: bool = False) -> None:
        if every < 1:
            raise ValueError(f"every is {every}; give 1 to write every frame, 10 for every tenth, ...")
        self.folder = Path(folder)
        self.every = every
        self.parity = parity

    def begin(self, first: int = 0) -> None:
        """Remove what an earlier run left from frame `first` on, and what a killed one left half written.

        Only files named like those of a frame are removed, in the four folders; whether they are ours, the caller must
        know (`OutputFolder`).
        """
        stale = [path for path in self._files() if is_frame_file(path, first) or HALF_WRITTEN.fullmatch(path.name)]
        for path in stale:
            path.unlink()
        if stale:
            logger.info("%s: removed %d older files, from frame %06d on", self.folder, len(stale), first)

    def finished(self) -> int:
        """Count the frames from 0 on of which each that is to be written is finished."""
        count = 0
        while self._path("camera", count).exists():
            count += self.every
        return count

    def bytes_of(self, number: int) -> int:
        """What the files of a finished frame take."""
        return sum(self._path(kind, number).stat().st_size for kind in SUFFIXES)

    def bytes_per_frame(self, count: int) -> float:
        """What the files take per frame of the stream, those that are not written included.

        Args:
            count: Finished frames, at least 1; the last one that was written is taken as an example.
        """
        return self.bytes_of((count - 1) // self.every * self.every) / self.every

    def add(self, result: FrameResult) -> None:
        """Write the files of one frame, if it is one of those that are written.

        Raises:
            ValueError: The session computed no points in the camera's frame or no pose.
        """
        if result.number % self.every:
            return
        depth, confidence = result.depth, result.prediction.conf_cam
        assert confidence is not None, "the network gives points_cam and conf_cam together"
        kept = depth if self.parity else depth.where(result.valid, 0.0)
        write_depth(self._path("depth", result.number), kept.numpy())
        with atomic_path(self._path("conf", result.number)) as temporary:
            np.save(temporary, confidence[0].nan_to_num(nan=1.0).numpy())  # 1 is the least; exp() may overflow
        color = _truncated(result.image) if self.parity else result.image
        write_image(self._path("color", result.number), color, fast=not self.parity)
        camera: dict[str, Any] = {"pose": self._finite_pose(result), "intrinsics": result.intrinsics.numpy()}
        if not self.parity:
            camera |= _origin(result)
        with atomic_path(self._path("camera", result.number)) as temporary:
            np.savez(temporary, **camera)

    def _finite_pose(self, result: FrameResult) -> Float32[np.ndarray, "4 4"]:
        """The frame's pose; where it is not finite, that of the written frame before."""
        if result.camera_is_finite:
            return result.world_from_cam.numpy()
        before = self._path("camera", result.number - self.every)
        if not before.exists():
            return np.eye(4, dtype=np.float32)
        with np.load(before) as camera:
            return np.asarray(camera["pose"], np.float32)

    def _path(self, kind: str, number: int) -> Path:
        return self.folder / kind / f"{number:06d}{SUFFIXES[kind]}"

    def _files(self) -> list[Path]:
        files = [path for kind, suffix in SUFFIXES.items() for path in (self.folder / kind).glob(f"*{suffix}")]
        return [path for path in files if not path.is_dir()]


def is_frame_file(path: Path, first: int = 0) -> bool:
    """Tell by its name whether a file in one of the four folders is that of a frame, from number `first` on."""
    match = FRAME_FILE.fullmatch(path.name)
    return match is not None and int(match[1]) >= first


@dataclass(frozen=True)
class SavedFrame:
    """One finished frame of a folder. The fields that may be None are missing from folders written for parity.

    `intrinsics` are in pixels of `color`, `intrinsics_original` in pixels of the original image (upright, of
    `original_size`, (h, w)). `scale` and `offset`, both (x, y), lead from one to the other:
    u_color = (u_original + 0.5) * scale - 0.5 - offset. `index` and `name` say which frame of the input it was; `chunk`
    counts the resets before it, and `placed` says that the chunk was put in its place in the world of the first one; a
    chunk that was not has a world of its own. `finite` is False where the network gave no finite pose: then no depth is
    valid, and `world_from_cam` is that of the saved frame before. `trust` is good, weak or lost (see `Quality`), and
    `doubtful` says that the joint of the chunk may be wrong; only runs in chunks or with keyframes know. `given_pose`
    and `given_intrinsics`: they came with the frame, and are not the network's.
    """

    number: int
    depth: Float32[np.ndarray, "h w"]
    confidence: Float32[np.ndarray, "h w"]
    color: UInt8[np.ndarray, "h w 3"]
    world_from_cam: Float32[np.ndarray, "4 4"]
    intrinsics: Float32[np.ndarray, "3 3"]
    intrinsics_original: Float32[np.ndarray, "3 3"] | None = None
    original_size: tuple[int, int] | None = None
    scale: tuple[float, float] | None = None
    offset: tuple[float, float] | None = None
    time_s: float | None = None
    index: int | None = None
    chunk: int | None = None
    name: str | None = None
    finite: bool = True
    placed: bool = False
    trust: str | None = None
    doubtful: bool = False
    given_pose: bool = False
    given_intrinsics: bool = False

    def view(self) -> View:
        """The same as a plain value, for an alignment or a `Reconstruction`."""
        size = (self.color.shape[0], self.color.shape[1])
        whole = PixelMap(self.original_size or size, size, self.scale or (1.0, 1.0), self.offset or (0.0, 0.0))
        depth, intrinsics = torch.from_numpy(self.depth), torch.from_numpy(self.intrinsics).float()
        view = View.from_depth(
            self.name or f"{self.number:06d}",
            self.number,
            self.color,
            depth,
            intrinsics,
            torch.from_numpy(self.world_from_cam).float() if self.finite else torch.full((4, 4), torch.nan),
            torch.from_numpy(self.confidence),
        )
        return replace(
            view,
            pixel_map=whole,
            chunk=self.chunk or 0,
            world_from_chunk=Similarity.identity() if self.placed else None,
            index=self.number if self.index is None else self.index,
            time_s=self.time_s,
            pose_is_given=self.given_pose,
        )

    @property
    def valid(self) -> Bool[np.ndarray, "h w"]:
        """Pixels with a depth."""
        return self.depth > 0


def read_frame_folder(folder: str | Path) -> Iterator[SavedFrame]:
    """Read the finished frames of a folder one by one, in the order of their numbers, each where its chunk stands now.

    Raises:
        ValueError: `chunks.json` is damaged.
        FileNotFoundError: The folder holds no finished frame, or a frame lost one of its files.
    """
    folder = Path(folder)
    cameras = sorted(filter(is_frame_file, (folder / "camera").glob("*.npz")), key=lambda path: int(path.stem))
    if not cameras:
        raise FileNotFoundError(
            f"{folder} holds no camera/000000.npz; expected a folder that a run wrote its frames to"
        )
    places = read_places(folder)
    for path in cameras:
        yield _read_frame(folder, path, places)


def _read_frame(folder: Path, camera_path: Path, places: dict[int, Similarity]) -> SavedFrame:
    with np.load(camera_path) as camera:
        values = {key: camera[key] for key in camera.files}
    extra = {}
    if "name" in values:
        pairs = {key: tuple(values[key].tolist()) for key in ("original_size", "scale", "offset")}
        single = {key: values[key].item() for key in ("index", "chunk", "name")}
        time_s = float(values["time_s"])
        extra = {**pairs, **single, "intrinsics_original": values["intrinsics_original"]}
        usual = {"finite": True, "placed": False, "given_pose": False, "given_intrinsics": False}
        extra |= {key: bool(values.get(key, value)) for key, value in usual.items()}
        extra |= {"trust": values["trust"].item(), "doubtful": bool(values["doubtful"])} if "trust" in values else {}
        extra["time_s"] = None if np.isnan(time_s) else time_s
    stem = camera_path.stem
    moved, stays = _moved(values, places), extra.get("given_pose", False)
    return SavedFrame(
        number=int(stem),
        depth=read_depth(folder / "depth" / f"{stem}.npy") * np.float32(float(moved.scale)),
        confidence=np.load(folder / "conf" / f"{stem}.npy"),
        color=read_image(folder / "color" / f"{stem}.png"),
        world_from_cam=values["pose"] if stays else moved.place(torch.from_numpy(values["pose"])).numpy(),
        intrinsics=values["intrinsics"],
        **extra,
    )


def _moved(camera: dict[str, Any], places: dict[int, Similarity]) -> Similarity:
    """How a frame's chunk was moved since its files were written."""
    if "world_from_chunk" not in camera or (place := places.get(camera["chunk"].item())) is None:
        return Similarity.identity()
    written = torch.from_numpy(camera["world_from_chunk"])
    return Similarity.from_matrix(place.matrix() @ torch.linalg.inv(written))


def _origin(result: FrameResult) -> dict[str, Any]:
    """Where a frame comes from, and the way back to the pixels of its original image."""
    frame, pixel_map = result.frame, result.pixel_map
    return {
        "intrinsics_original": result.intrinsics_original.numpy(),
        "original_size": np.array(pixel_map.original_size),
        "scale": np.array(pixel_map.scale, np.float64),
        "offset": np.array(pixel_map.offset, np.float64),
        "time_s": np.array(np.nan if frame.time_s is None else frame.time_s),
        "index": np.array(frame.index),
        "chunk": np.array(result.chunk),
        "placed": np.array(result.world_from_chunk is not None),
        "world_from_chunk": (result.world_from_chunk or Similarity.identity()).matrix().double().numpy(),
        "finite": np.array(result.camera_is_finite),
        "name": np.array(frame.name),
        "given_pose": np.array(result.pose_is_given),
        "given_intrinsics": np.array(frame.intrinsics is not None),
    } | ({} if result.quality is None else _quality(result.quality))


def _quality(quality: Quality) -> dict[str, Any]:
    return {
        "trust": np.array(quality.trust.value),
        "confidence_share": np.array(quality.confidence),
        "new_area": np.array(quality.new_area),
        "doubtful": np.array(quality.is_doubtful),
        "key": np.array(quality.is_key),
    }


def _truncated(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Go through the network's [-1, 1] and back to bytes, cutting off instead of rounding. Parity: quirk Q24."""
    normalised = (image / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    return ((normalised + 1) / 2 * np.float32(255)).astype(np.uint8)
