"""A baseline for VSLAM-LAB (https://github.com/VSLAM-LAB/VSLAM-LAB): a sequence folder in, a trajectory out.

    python -m cut3r.run.vslam_lab --sequence_path SEQ --exp_folder EXP --exp_id 0 --settings_yaml cut3r_settings.yaml

SEQ holds rgb.csv or rgb.txt (time stamps and pictures) and calibration.yaml. EXP/00000_KeyFrameTrajectory.txt gets a
line "ts tx ty tz qx qy qz qw" per frame: where the camera stands in the frame of the first one, metres. Words may also
come as VSLAM-LAB writes them to other programs, sequence_path:SEQ.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from cut3r.run.console import guarded, start_logging
from cut3r.run.flags import as_declared
from cut3r.run.parser import Parser

PROGRAM = "cut3r.run.vslam_lab"
LISTS = ("rgb.csv", "rgb.txt")
CALIBRATION = "calibration.yaml"


@dataclass
class Settings:
    """What cut3r_settings.yaml may say; names as of the flags of a run. `size` 0: as the network was trained."""

    model: str = "512-dpt"
    device: str = "auto"
    size: int = 0
    update: str = "overwrite"
    reset_every: str = "auto"
    use_calibration: bool = True

    @classmethod
    def read(cls, path: Path | None) -> "Settings":
        """Read a file, or take the defaults.

        Raises:
            ValueError: No YAML, or a name that means nothing.
        """
        if path is None:
            return cls()
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8").replace("%YAML:1.0", "", 1)) or {}
            return cls(**content)
        except (yaml.YAMLError, TypeError, UnicodeDecodeError) as error:
            known = ", ".join(vars(cls()))
            raise ValueError(
                f"{path} holds no settings ({' '.join(str(error).split())}); expected are {known}"
            ) from error


def main(arguments: list[str] | None = None) -> int:
    """Read the flags, and do what they say; gives the exit code."""
    return guarded(run, parse_args(sys.argv[1:] if arguments is None else arguments), PROGRAM)


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--sequence_path", type=Path, required=True, metavar="FOLDER", help="with rgb.csv or rgb.txt")
    add("--exp_folder", type=Path, required=True, metavar="FOLDER", help="where the trajectory goes")
    add("--exp_id", type=int, default=0, metavar="N", help="the number of the run (default: %(default)s)")
    add("--rgb_csv", type=Path, metavar="FILE", help="the list of pictures, if it is not beside them")
    add("--rgb_txt", type=Path, metavar="FILE", help="the same, with spaces")
    add("--calibration_yaml", type=Path, metavar="FILE", help=f"(default: {CALIBRATION} of the sequence)")
    add("--settings_yaml", type=Path, metavar="FILE", help="model, device, size, update, reset_every, use_calibration")
    for name in ("verbose", "mode"):
        add(f"--{name}", help="is taken and means nothing here")
    return parser


def parse_args(arguments: list[str]) -> argparse.Namespace:
    parser = make_parser()
    known = {action.dest for action in parser._actions}
    words: list[str] = []
    for word in arguments:
        name, colon, value = word.partition(":")
        words += [f"--{name}", value] if colon and name in known else [word]
    return parser.parse_args(as_declared(parser, words))


def run(args: argparse.Namespace) -> int:
    """Do what the flags say. What a user can do wrong comes as an exception with one clear sentence."""
    from cut3r.inference.chunks import ResetConfig
    from cut3r.inference.preprocess import FitConfig
    from cut3r.inference.session import Session
    from cut3r.io.frame import Frame
    from cut3r.io.images import read_image
    from cut3r.io.known_files import read_known_cameras
    from cut3r.io.trajectory import write_tum
    from cut3r.run.known import with_lens
    from cut3r.speed.device import check_device
    from cut3r.weights.checkpoint import load

    start_logging()
    settings = Settings.read(args.settings_yaml)
    times, pictures = read_list(args.sequence_path, args.rgb_csv or args.rgb_txt)
    path = args.calibration_yaml or args.sequence_path / CALIBRATION
    lens = read_known_cameras(path).only_lens() if settings.use_calibration and path.is_file() else None
    model = load(settings.model, device=check_device(settings.device))
    fit = FitConfig(size=settings.size) if settings.size else None
    session = Session(model, fit=fit, update=settings.update, resets=ResetConfig.of_text(settings.reset_every))

    def frames() -> Iterator[Frame]:
        for index, (time_s, picture) in enumerate(zip(times, pictures, strict=True)):
            frame = Frame(read_image(picture), index, time_s - times[0], picture.name, picture)
            yield frame if lens is None else with_lens(frame, lens)

    results: list[Any] = [result.world_from_cam.double().numpy() for result in session.stream(frames())]
    args.exp_folder.mkdir(parents=True, exist_ok=True)
    write_tum(args.exp_folder / f"{args.exp_id:05d}_KeyFrameTrajectory.txt", np.stack(results), np.array(times))
    return 0


def read_list(folder: Path, named: Path | None) -> tuple[list[float], list[Path]]:
    """Give time stamps in seconds and pictures. A column named (ns), or of numbers too large for seconds, holds
    nanoseconds.

    Raises:
        FileNotFoundError: No list, or a picture is missing.
        ValueError: A line that is no number and path, or no picture at all.
    """
    path = named or next((folder / name for name in LISTS if (folder / name).is_file()), None)
    if path is None or not path.is_file():
        raise FileNotFoundError(f"{folder} holds neither {' nor '.join(LISTS)}; name the folder of a sequence")
    text = path.read_text(encoding="utf-8-sig")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    rows = list(csv.reader(lines)) if "," in (lines or [""])[0] else [line.split() for line in lines]
    header = rows.pop(0) if rows and not _is_number(rows[0][0]) else []
    times, pictures = [], []
    for number, row in enumerate(rows, start=1):
        if len(row) < 2 or not _is_number(row[0]):
            raise ValueError(f"line {number} of {path} is {' '.join(row)!r}; expected a time stamp and a picture")
        times.append(float(row[0]))
        pictures.append(path.parent / row[1].strip() if named is None else folder / row[1].strip())
    if not times:
        raise ValueError(f"{path} names no picture; expected a time stamp and a picture in each line")
    for picture in pictures:
        if not picture.is_file():
            raise FileNotFoundError(f"{path} names {picture}, which is not there")
    nanoseconds = (header and "ns" in header[0].lower()) or times[0] > 1e14
    return [time * 1e-9 if nanoseconds else time for time in times], pictures


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
