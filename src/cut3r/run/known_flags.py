"""The flags for what is known of the cameras become what a run takes. What is wrong comes as one clear sentence."""

import argparse
import logging
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from cut3r.inference.given import GivenConfig, ScaleFrom
from cut3r.inference.known_distance import KnownDistance
from cut3r.io.calibration import calibration_of_numbers
from cut3r.io.json_fields import as_number
from cut3r.io.known_cameras import Fisheye, KnownCamera, KnownCameras, Lens
from cut3r.io.known_files import read_known_cameras
from cut3r.io.wide_lens import WIDE
from cut3r.run.known import Known

logger = logging.getLogger(__name__)

POSES, DEPTH = "poses", "depth"  # --scale-from
LENSES: dict[str, type[Lens]] = {"": Lens, "fisheye": Fisheye, **WIDE}  # by what --distortion begins with


def make_known(args: argparse.Namespace) -> Known:
    """Read what the flags name.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It is not understood, or not what the flag is for.
    """
    poses = None if args.poses is None else read_known_cameras(args.poses)
    intrinsics = None if args.intrinsics is None else read_intrinsics(args.intrinsics, args.distortion)
    if intrinsics is None and args.distortion is not None:
        raise ValueError("--distortion is that of a calibration, and there is none; give --intrinsics, too")
    for flag, folder, what in (("--masks", args.masks, "mask"), ("--depth", args.depth, "depth map")):
        if folder is not None and not folder.is_dir():
            white = ", white = use" if folder is args.masks else ""
            raise FileNotFoundError(f"{flag} {folder} is no folder; expected one {what} per picture in it{white}")
    if poses is not None and intrinsics is None and any(camera.any_lens for camera in poses.cameras):
        logger.info("%s has intrinsics, too; --intrinsics %s takes them", poses.what, args.poses)
    return Known(intrinsics, poses, args.masks, args.depth, sky=args.sky)


def check_known_flags(args: argparse.Namespace) -> None:
    """Refuse flags of an alignment that would do nothing, or contradict each other."""
    needing = {"--pose-sigma": args.pose_sigma is not None, "--scale-from poses": args.scale_from == POSES}
    for flag in [flag for flag, given in needing.items() if given and args.poses is None]:
        raise ValueError(f"{flag} is about known poses, and there are none; give --poses FILE")
    if all(needing.values()):
        raise ValueError(
            "with --scale-from poses, poses give the scale only, and --pose-sigma has no say; leave one out"
        )
    if args.scale_from == DEPTH and args.depth is None:
        raise ValueError("--scale-from depth is about known depth, and there is none; give --depth FOLDER")
    if args.scale_from == DEPTH and args.poses is not None:
        raise ValueError("--poses stay as they are, and --scale-from depth would scale them; leave one out")
    if args.depth is not None and args.scale_from not in (None, DEPTH):
        raise ValueError(
            f"--depth is in metres and gives the scale of an alignment, so that --scale-from {args.scale_from} has no "
            "say; leave one out"
        )
    pose_sigma(args)


def given_config(args: argparse.Namespace) -> GivenConfig:
    """What a stream does with what is known.

    Raises:
        ValueError: Flags that would do nothing, or contradict each other.
    """
    kinds = {kind.value: kind for kind in ScaleFrom}
    for name, there in (("poses", args.poses), ("depth", args.depth)):
        if args.scale_from == name and there is None:
            what = f"--{name} {'FILE' if name == POSES else 'FOLDER'}"
            raise ValueError(f"--scale-from {name} is about known {name}, and there is none; give {what}")
    if args.condition and (args.poses is None or args.intrinsics is None):
        raise ValueError("--condition shows known cameras to the network; give both --poses and --intrinsics")
    if args.condition and args.revisit > 1:
        raise ValueError(
            "--condition follows results, which the first pass of --revisit has not; leave out one of both"
        )
    if args.scale_from is None or args.scale_from in kinds:
        kind = None if args.scale_from is None else kinds[args.scale_from]
        return GivenConfig(kind, hold_poses=kind is not ScaleFrom.poses, condition=args.condition)
    if args.poses is not None:
        raise ValueError(
            "--poses stay as they are in a stream, and a distance would scale them; give poses in metres, leave out "
            "--scale-from, or use demo_ga.py"
        )
    return GivenConfig(KnownDistance.parse(args.scale_from))


def pose_sigma(args: argparse.Namespace) -> tuple[float, float] | None:
    """The error of known poses in metres and radians; None if they are exact.

    Raises:
        ValueError: The flag is not two numbers above 0.
    """
    if args.pose_sigma is None:
        return None
    values = [as_number(word.strip()) for word in args.pose_sigma.split(",")]
    if len(values) != 2 or not all(0 < value < math.inf for value in values):
        raise ValueError(f"--pose-sigma is {args.pose_sigma!r}; expected metres and degrees above 0, such as 0.05,2")
    return values[0], math.radians(values[1])


def read_intrinsics(value: str, distortion: str | None = None) -> KnownCameras:
    """Read a file, or four numbers; of a calibration without distortion, `distortion` may say it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not understood, or two distortions.
    """
    words = value.split(",")
    if len(words) > 1 and not Path(value).exists():
        numbers = np.array([as_number(word.strip()) for word in words])
        cameras = calibration_of_numbers(numbers, f"--intrinsics {value}")
    else:
        cameras = read_known_cameras(Path(value))
    if distortion is None:
        return cameras
    return replace(cameras, cameras=tuple(_bent(camera, distortion, cameras.what) for camera in cameras.cameras))


def _bent(camera: KnownCamera, distortion: str, what: str) -> KnownCamera:
    lens = camera.any_lens
    if lens is None:
        return camera
    if not lens.is_straight:
        raise ValueError(f"{what} has a distortion already; leave out --distortion")
    named, colon, words = distortion.rpartition(":")
    values = tuple(as_number(word.strip()) for word in words.split(","))
    kind = LENSES.get(named)
    if kind is None or not np.isfinite(values).all() or len(values) > kind.most:
        raise ValueError(
            f"--distortion is {distortion!r}; expected up to {Lens.most} numbers k1,k2,p1,p2,k3,... or "
            "fisheye:k1,k2,k3,k4, omni:xi,k1,k2,p1,p2, ds:xi,alpha, eucm:alpha,beta, fov:w"
        )
    bent = lens.as_kind(kind, *values)
    return (
        replace(camera, lens=bent) if not colon else replace(camera, lens=None, fisheye=bent, no_lens=f"it is {named}")
    )
