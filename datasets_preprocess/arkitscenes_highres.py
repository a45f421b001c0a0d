"""ARKitScenes: frames of the tablet's videos, turned upright, with depth rendered from a laser scan."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8, UInt16

from cut3r.data.datasets.arkitscenes import HIGHRES_FOLDERS as FOLDERS
from cut3r.data.datasets.arkitscenes import matrices
from cut3r.data.datasets.arkitscenes_highres import LAYOUT, ArkitScenesHighres
from cut3r.data.layout import read_png16, write_json
from cut3r.data.transforms import Rescale
from cut3r.files.listing import visible
from cut3r.io.images import read_image
from datasets_preprocess import arkit
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Record, Writer

DEPTH = "highres_depth"
PARTS = (arkit.PICTURES, arkit.CALIBRATIONS, DEPTH, arkit.TRAJECTORY)
WINDOW_MS = 100  # in which a calibration counts
MILLISECOND = (0, -1, 1)  # pictures may be off by one


@dataclass(frozen=True)
class Video:
    """Where the files of a video are, its trajectory, and where its sky is."""

    folder: Path
    trajectory: arkit.Trajectory
    sky: arkit.Sky
    parity: bool

    def read(
        self, frame: str
    ) -> tuple[UInt8[np.ndarray, "h w 3"], UInt16[np.ndarray, "h w"], Float64[np.ndarray, "6"]]:
        """Read picture, depth at its size, and calibration (w, h, fx, fy, cx, cy), upright.

        Raises:
            FileNotFoundError: It has no picture, or no calibration near in time.
            ValueError: A damaged file, or a time outside of the trajectory.
        """
        time = arkit.time_of(frame)
        if not self.trajectory.covers(time):
            raise ValueError("its time lies outside of the trajectory")
        calibration = self._calibration(time)
        picture = self._picture(time)
        if calibration is None or picture is None:
            what = "calibration" if calibration is None else "picture"
            raise FileNotFoundError(f"there is no {what} of its time in {self.folder}")
        row = arkit.read_calibration(calibration, self.sky, parity=self.parity)
        rgb = arkit.turn_upright(read_image(picture), self.sky)
        depth = arkit.turn_upright(read_png16(self.folder / DEPTH / f"{frame}.png"), self.sky)
        size = (rgb.shape[0], rgb.shape[1])
        return rgb, Rescale((depth.shape[0], depth.shape[1]), size, 1.0).nearest(depth), row

    def _calibration(self, time: float) -> Path | None:
        """Parity: 02_arkitscenes_highres.md quirk 4, the earliest within the window, unless there is one of the time
        itself, written without zeros at its end."""
        window = range(-WINDOW_MS, WINDOW_MS + 1)
        if not self.parity:
            return arkit.calibration(self.folder, self.folder.name, time, sorted(window, key=abs))
        exact = self.folder / arkit.CALIBRATIONS / f"{self.folder.name}_{time}.pincam"
        return exact if exact.is_file() else arkit.calibration(self.folder, self.folder.name, time, window)

    def _picture(self, time: float) -> Path | None:
        """Parity: quirks 2 and 3, times are written without zeros at their end, and the picture must have the time of
        the depth, though one a millisecond off is looked for as well."""
        times = [round(time + shift / 1000, 3) for shift in MILLISECOND]
        names = [str(each) if self.parity else f"{each:.3f}" for each in times]
        paths = [self.folder / arkit.PICTURES / f"{self.folder.name}_{name}.png" for name in names]
        return next((path for path in paths if path.is_file()), None)


def scenes(raw: Path) -> Iterator[RawScene]:
    """List the videos RAW/<Training|Validation>/<video>."""
    for folder in (path for name in FOLDERS.values() for path in visible(raw, f"{name}/*") if path.is_dir()):
        yield RawScene(f"{folder.parent.name}/{folder.name}")


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a video is made from."""
    return [raw / scene.name / part for part in PARTS]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write each frame that has laser depth, upright, and the metadata of the video.

    Raises:
        LeftOut: The video has no laser depth, or lacks another part, or no frame can be used.
        ValueError: The trajectory is damaged.
    """
    folder = raw / scene.name
    missing = [part for part in PARTS if not (folder / part).exists()]
    if missing:
        raise LeftOut(f"{folder} has no {missing[0]}")
    trajectory = arkit.read_trajectory(folder / arkit.TRAJECTORY)
    video = Video(folder, trajectory, trajectory.sky(), writer.parity)
    names = sorted((path.stem for path in visible(folder, f"{DEPTH}/*_*.png")), key=arkit.time_of)
    rows: dict[str, Float64[np.ndarray, "6"]] = {}
    try:
        for frame, (rgb, depth, row) in readable_frames(names, video.read, writer):
            rows[frame] = row
            if writer.parity and not (folder / arkit.PICTURES / f"{frame}.png").is_file():
                continue  # 02_arkitscenes_highres.md quirk 3: the metadata name a frame without files
            writer.image("rgb", scene.name, frame, rgb)
            writer.png16("depth", scene.name, frame, depth)
    except ValueError as error:
        if rows:
            raise
        raise LeftOut(str(error)) from error
    intrinsics = np.stack(list(rows.values()))
    writer.npz(
        "scene",
        scene.name,
        images=np.array([f"{frame}.png" if writer.parity else frame for frame in rows]),
        trajectories=trajectory.upright([*map(arkit.time_of, rows)], video.sky),
        intrinsics=intrinsics if writer.parity else matrices(intrinsics),
    )
    return list(rows)


def finish(out: Path, done: list[Record]) -> None:
    """Write the lists of videos. Parity: quirk 1, they are empty."""
    for folder in FOLDERS.values():
        videos = [record.scene.partition("/")[2] for record in done if record.scene.startswith(f"{folder}/")]
        write_json(LAYOUT.path(out, "list", folder), [] if any(record.parity for record in done) else videos)


CONVERTER = Converter(ArkitScenesHighres, 1, scenes, convert, finish, sources)
