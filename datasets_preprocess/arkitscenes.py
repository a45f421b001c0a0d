"""ARKitScenes: selected frames of the tablet's videos, turned upright, with the depth of its own sensor.

RAW has the folders of the official download and, as `pairs/`, the selection that the DUSt3R project published.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Shaped, UInt8, UInt16

from cut3r.data.datasets.arkitscenes import LAYOUT, ArkitScenes, matrices
from cut3r.data.layout import read_npz, read_png16, write_json
from cut3r.files.damaged import naming_the_file
from cut3r.files.listing import visible
from cut3r.io.images import read_image
from datasets_preprocess import arkit, covisibility
from datasets_preprocess.all_metadata import renumber, write_all_metadata
from datasets_preprocess.readable import readable_frames
from datasets_preprocess.runner import Converter, LeftOut, RawScene, Record, Unlisted, Writer

WRITTEN_AS = {"Training": "Training", "Test": "Test", "Validation": "Test"}  # raw folder: processed folder
LISTED = ("Test", "Training")  # splits of the published selection
LOOKED_IN = ("Test", "Training", "Validation")  # raw folders, for a video that the selection names
DEPTH = "lowres_depth"
INTERVAL = 0.095  # seconds between frames of our own selection: 10 Hz, less a little for uneven clocks
OVERLAP = 0.1  # least score of pairs of our own selection
MILLISECOND = (0, -1, 1)  # calibration files may be off by one


@dataclass(frozen=True)
class Selection:
    """The frames of a video that are converted, <video>_<time>, and which of them see the same; None: to be measured.

    `sky` is where the published selection says that the sky is.
    """

    frames: list[str]
    pairs: Float64[np.ndarray, "m 3"] | None = None
    sky: arkit.Sky | None = None


def scenes(raw: Path) -> Iterator[RawScene | Unlisted]:
    """List the videos of the published selection, "<Training|Test>/<video>"; without one, all videos."""
    if not (raw / "pairs").is_dir():
        for folder in (path for name in WRITTEN_AS for path in visible(raw, f"{name}/*") if path.is_dir()):
            yield RawScene(f"{WRITTEN_AS[folder.parent.name]}/{folder.name}", facts={"video": str(folder)})
        return
    for split in LISTED:
        path = raw / "pairs" / split / "scene_list.json"
        if not path.parent.is_dir():
            continue
        try:
            with naming_the_file(path):
                videos = json.loads(path.read_text())
        except (FileNotFoundError, ValueError) as error:
            yield Unlisted(f"pairs/{split}", str(error))
            continue
        for video in videos:
            found = [raw / name / video for name in LOOKED_IN if (raw / name / video).is_dir()]
            yield RawScene(f"{split}/{video}", facts={"video": str(found[0]) if found else ""})


def sources(raw: Path, scene: RawScene) -> list[Path]:
    """Name what a video is made from."""
    folder = Path(scene.facts["video"])
    parts = (arkit.PICTURES, arkit.CALIBRATIONS, DEPTH, arkit.TRAJECTORY)
    return [raw / "pairs" / scene.name, *([folder / part for part in parts] if scene.facts["video"] else [])]


def convert(raw: Path, scene: RawScene, writer: Writer) -> list[str]:
    """Write the selected frames of a video, upright, and its metadata.

    Parity: a video is left out when one of its pictures is missing.

    Raises:
        LeftOut: The video is not in the download, or nothing of it is selected.
        ValueError: No frame can be used; the trajectory is damaged, or disagrees with the selection on where the sky
            is.
    """
    folder, video = Path(scene.facts["video"]), scene.name.rpartition("/")[2]
    if not scene.facts["video"] or (writer.parity and folder.parent.name == "Validation"):
        raise LeftOut(f"the selection names it, but it is in none of the folders {', '.join(LOOKED_IN)} of {raw}")
    path = raw / "pairs" / scene.name / "selected_pairs.npz"
    if (raw / "pairs").is_dir():
        selection = read_selection(path)
        if not selection.frames or selection.pairs is None or not len(selection.pairs):
            raise LeftOut(f"{path} selects no pairs of frames")
    else:
        selection = Selection(_every_tenth_of_a_second(folder))
    trajectory = arkit.read_trajectory(folder / arkit.TRAJECTORY)
    sky = trajectory.sky()
    if selection.sky not in (None, sky):
        raise ValueError(f"{path} says that the sky is {selection.sky}, {folder / arkit.TRAJECTORY} that it is {sky}")
    if writer.parity:
        _require_all(folder, selection.frames)
    read = partial(_read_frame, folder, video, trajectory, sky, parity=writer.parity)
    rows: dict[str, Float64[np.ndarray, "6"]] = {}
    for frame, (rgb, depth, row) in readable_frames(selection.frames, read, writer):
        writer.image("rgb", scene.name, frame, rgb)
        writer.png16("depth", scene.name, frame, nearest_exact(depth, (rgb.shape[0], rgb.shape[1])))
        rows[frame] = row
    return _write_metadata(scene.name, selection, rows, trajectory.upright([*map(arkit.time_of, rows)], sky), writer)


def finish(out: Path, done: list[Record]) -> None:
    """Write the lists of videos, and the file about all videos of a split."""
    for split in LISTED:
        videos = sorted(record.scene.partition("/")[2] for record in done if record.scene.startswith(f"{split}/"))
        if not videos:
            continue
        write_json(LAYOUT.path(out, "list", split), videos)
        files = ((video, LAYOUT.path(out, "selected", f"{split}/{video}")) for video in videos)
        write_all_metadata(LAYOUT.path(out, "all", split), files)


def read_selection(path: Path) -> Selection:
    """Read the published selection of a video.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, or names frames that it does not have.
    """
    names, pairs, skies = read_npz(path, "selection", "pairs", "sky_direction_scene")
    with naming_the_file(path):
        if pairs.size and not (pairs[:, :2].min() >= 0 and pairs[:, :2].max() < len(names)):
            raise ValueError(f"its pairs name frame {pairs[:, :2].max():.0f} of {len(names)}, or one below 0")
        frames = [name.removesuffix(".png") for name in names.tolist()]
        return Selection(
            frames, pairs.astype(np.float64).reshape(-1, 3), arkit.Sky(skies.ravel()[0]) if skies.size else None
        )


def nearest_exact(pixels: Shaped[np.ndarray, "h w"], size: tuple[int, int]) -> Shaped[np.ndarray, "h1 w1"]:
    """Resample what must not be blended by the pixel in which each new pixel's centre lies."""
    rows, columns = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, pixels.shape, strict=True))
    return pixels[rows[:, None], columns]


def _read_frame(
    folder: Path, video: str, trajectory: arkit.Trajectory, sky: arkit.Sky, frame: str, *, parity: bool
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt16[np.ndarray, "h1 w1"], Float64[np.ndarray, "6"]]:
    """Read picture, depth and calibration (w, h, fx, fy, cx, cy), upright."""
    time = arkit.time_of(frame)
    if not trajectory.covers(time):
        raise ValueError("its time lies outside of the trajectory")
    calibration = arkit.calibration(folder, video, time, MILLISECOND)
    if calibration is None:
        raise FileNotFoundError(f"there is no calibration within a millisecond in {folder / arkit.CALIBRATIONS}")
    row = arkit.read_calibration(calibration, sky, parity=parity)
    rgb = arkit.turn_upright(read_image(folder / arkit.PICTURES / f"{frame}.png"), sky)
    depth = arkit.turn_upright(read_png16(folder / DEPTH / f"{frame}.png"), sky)
    if not parity and rgb.shape[:2] != (row[1], row[0]):
        raise ValueError(f"the picture is of {rgb.shape[:2]} pixels (h, w), its calibration of {row[1]:g} x {row[0]:g}")
    return rgb, depth, row


def _write_metadata(
    scene: str,
    selection: Selection,
    rows: dict[str, Float64[np.ndarray, "6"]],
    poses: Float64[np.ndarray, "n 4 4"],
    writer: Writer,
) -> list[str]:
    """Write the metadata, in the order of the selection and in that of the names; give the frames in the latter."""
    frames = list(rows)
    intrinsics = np.stack(list(rows.values()))
    if selection.pairs is None:
        pairs = _measured_pairs(scene, frames, matrices(intrinsics), poses, writer)
    else:
        pairs = renumber(selection.pairs, selection.frames, frames)
    suffix = ".png" if writer.parity else ""
    stored = intrinsics if writer.parity else matrices(intrinsics)
    order = sorted(range(len(frames)), key=frames.__getitem__)
    in_order = [frames[i] for i in order]
    for kind, names, at in (("selected", frames, [*range(len(frames))]), ("scene", in_order, order)):
        writer.npz(
            kind,
            scene,
            images=np.array([name + suffix for name in names]),
            trajectories=poses[at],
            intrinsics=stored[at],
            pairs=renumber(pairs, frames, names),
        )
    return in_order


def _measured_pairs(
    scene: str,
    frames: list[str],
    intrinsics: Float64[np.ndarray, "n 3 3"],
    poses: Float64[np.ndarray, "n 4 4"],
    writer: Writer,
) -> Float64[np.ndarray, "m 3"]:
    depths = (read_png16(writer.path("depth", scene, frame)) / 1000 for frame in frames)
    sights = [covisibility.Sight.thinned(*each) for each in zip(depths, intrinsics, poses, strict=True)]
    return covisibility.pairs(covisibility.scores(sights), OVERLAP)


def _require_all(folder: Path, frames: list[str]) -> None:
    for frame in frames:
        for part in (arkit.PICTURES, DEPTH):
            if not (folder / part / f"{frame}.png").is_file():
                raise LeftOut(f"there is no {folder / part / f'{frame}.png'}")


def _every_tenth_of_a_second(folder: Path) -> list[str]:
    """Select frames with depth, in order of time."""
    names = {path.stem for path in visible(folder, f"{arkit.PICTURES}/*_*.png")}
    both = names & {path.stem for path in visible(folder, f"{DEPTH}/*_*.png")}
    chosen: list[str] = []
    for frame in sorted(both, key=arkit.time_of):
        if not chosen or arkit.time_of(frame) >= arkit.time_of(chosen[-1]) + INTERVAL:
            chosen.append(frame)
    return chosen


CONVERTER = Converter(ArkitScenes, 1, scenes, convert, finish, sources)
