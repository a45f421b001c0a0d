"""The flags for what is known of the cameras become what a run takes. What is wrong comes as one clear sentence."""

import argparse
import logging
import math
from pathlib import Path

import numpy as np

from cut3r.io.calibration import calibration_of_numbers
from cut3r.io.frames import FrameOptions, SortOrder, open_frames
from cut3r.io.json_fields import as_number
from cut3r.io.known_cameras import KnownCameras
from cut3r.io.known_files import read_known_cameras
from cut3r.run.footage import Footage
from cut3r.run.known import Known

logger = logging.getLogger(__name__)

POSES = "poses"  # --scale-from poses


def make_known(args: argparse.Namespace) -> Known:
    """Read what the flags name.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It is not understood, or not what the flag is for.
    """
    poses = None if args.poses is None else read_known_cameras(args.poses)
    intrinsics = None if args.intrinsics is None else _intrinsics(args.intrinsics)
    if args.masks is not None and not args.masks.is_dir():
        raise FileNotFoundError(f"--masks {args.masks} is no folder; expected one mask per picture in it, white = use")
    if poses is not None and intrinsics is None and any(camera.lens for camera in poses.cameras):
        logger.info("%s has intrinsics, too; --intrinsics %s takes them", poses.what, args.poses)
    return Known(intrinsics, poses, args.masks)


def check_known_flags(args: argparse.Namespace) -> None:
    """Refuse flags that would do nothing, or contradict each other."""
    needing = {"--pose-sigma": args.pose_sigma is not None, "--scale-from poses": args.scale_from == POSES}
    for flag in [flag for flag, given in needing.items() if given and args.poses is None]:
        raise ValueError(f"{flag} is about known poses, and there are none; give --poses FILE")
    if all(needing.values()):
        raise ValueError(
            "with --scale-from poses, poses give the scale only, and --pose-sigma has no say; leave one out"
        )
    pose_sigma(args)


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


def count_all(footage: Footage, args: argparse.Namespace) -> int | None:
    """The frames of the whole source, of which flags may choose some; None if unknown, or nobody needs it."""
    if not (args.intrinsics or args.poses or args.masks):
        return None
    if footage.stream.live or not footage.can_be_read_again:
        return None
    with open_frames(args.seq_path, FrameOptions(sort=SortOrder(args.sort), parity=args.original)) as stream:
        return stream.expected


def _intrinsics(value: str) -> KnownCameras:
    words = value.split(",")
    numbers = np.array([as_number(word.strip()) for word in words])
    if len(words) > 1 and not Path(value).exists():
        return calibration_of_numbers(numbers, f"--intrinsics {value}")
    return read_known_cameras(Path(value))
