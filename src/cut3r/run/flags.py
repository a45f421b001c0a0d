"""The flags of a run."""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from cut3r.run.formats import FORMATS, SCENE
from cut3r.run.parser import Parser

SOME = 10  # --save-frames some: one of so many frames
DTYPES = ("auto", "fp32", "tf32", "bf16")


def parse_args(
    arguments: list[str] | None = None,
    *,
    description: str | None = None,
    extend: Callable[[argparse.ArgumentParser], None] | None = None,
    prog: str | None = None,
) -> argparse.Namespace:
    """Read the flags; each may be written with dashes or underscores, and the source without its flag.

    Several sources become `sources`, if a program has flags for them (`add_batch`); one is `seq_path`.

    Args: as `make_parser`.
    """
    parser = make_parser(description=description, extend=extend, prog=prog)
    args = parser.parse_args(as_declared(parser, sys.argv[1:] if arguments is None else arguments))
    named, several = args.source, hasattr(args, "workers")
    del args.source
    if named and args.seq_path is not None:
        parser.error(f"there are two sources, {named[0]} and --seq_path {args.seq_path}; name one")
    if len(named) > 1 and not several:
        parser.error(f"there are {len(named)} sources, {named[0]}, {named[1]}, ...; name one")
    if several:
        args.sources = named if len(named) > 1 else []
        if not args.sources and (args.workers != 1 or args.dask is not None):
            parser.error("--workers and --dask share several sources among processes, and there is one; leave them out")
        if args.workers < 1:
            parser.error(f"--workers is {args.workers}, expected 1 or more")
    args.seq_path = named[0] if len(named) == 1 else args.seq_path
    return args


def make_parser(
    *,
    description: str | None = None,
    extend: Callable[[argparse.ArgumentParser], None] | None = None,
    prog: str | None = None,
) -> argparse.ArgumentParser:
    """Declare the flags of a run.

    Args:
        extend: Adds flags of another program that takes the same ones.
        prog: The program's name (default: that of the script).
    """
    parser = Parser(prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    _add_input(parser)
    _add_selection(parser.add_argument_group("which frames"))
    _add_method(parser.add_argument_group("how"))
    _add_output(parser.add_argument_group("what comes out"))
    if extend is not None:
        extend(parser)
    return parser


def as_declared(parser: argparse.ArgumentParser, words: list[str]) -> list[str]:
    """Spell flags as the parser, or one of its commands, knows them: both --max-frames and --max_frames are taken."""
    flags = {flag.replace("_", "-"): flag for flag in _flags_of(parser)}
    parts = [word.partition("=") for word in words]
    return [f"{flags.get(name.replace('_', '-'), name)}{equals}{value}" for name, equals, value in parts]


def _flags_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _flags_of(command)


def add_align(group: argparse._ArgumentGroup) -> None:
    """Declare the flags of an alignment that do not depend on where predictions come from."""
    window = "neighbours on each side in a window (default: %(default)s)"
    group.add_argument("--window", type=int, default=3, metavar="N", help=window)
    loops = "look for frames that see the same place again, unless all frames are paired (default: %(default)s)"
    group.add_argument("--loops", choices=("auto", "off"), default="auto", help=loops)
    bundle = "then refine cameras by details of the original pictures (needs pip install 'cut3r[ba]')"
    group.add_argument("--ba", action="store_true", help=bundle)
    rigid = "believe the network's metres: frames get no scale of their own"
    group.add_argument("--rigid", action="store_true", help=rigid)


def add_batch(group: argparse._ArgumentGroup) -> None:
    """Declare how several sources are shared."""
    workers = "runs at a time; each takes the memory of a network (default: %(default)s)"
    group.add_argument("--workers", type=int, default=1, metavar="N", help=workers)
    dask = "a Dask cluster does them: tcp://HOST:8786, or local:4 for four processes here"
    group.add_argument("--dask", metavar="ADDRESS", help=dask)


def add_of_stream(parser: argparse.ArgumentParser) -> None:
    """Declare the flags that only a stream has, or that an alignment has with another meaning."""
    add_batch(parser.add_argument_group("several sources: a run for each, in OUTPUT_DIR/NAME (docs/command.md)"))
    _add_known_to_stream(parser.add_argument_group("what is known beforehand (docs/known_cameras.md)"))
    loops = "with --reset-every: look for places that are seen again, and move chunks (default: %(default)s)"
    parser.add_argument("--loops", choices=("auto", "off"), default="auto", help=loops)


def _add_known(group: argparse._ArgumentGroup) -> None:
    """Declare the flags for what is known of the cameras, and for what does not count."""
    intrinsics = "a calibration, or a file with one per picture; or fx,fy,cx,cy in pixels of the pictures"
    group.add_argument("--intrinsics", metavar="FILE|fx,fy,cx,cy", help=intrinsics)
    distortion = (
        "of a calibration that has none, as OpenCV counts; fisheye:k1,k2,k3,k4, omni:xi,k1,..., ds:xi,alpha, ..."
    )
    group.add_argument("--distortion", metavar="k1,k2,p1,p2[,k3...]", help=distortion)
    poses = "where cameras stood: COLMAP, transforms.json, TUM, KITTI, scans of phones; they stay as they are"
    group.add_argument("--poses", type=Path, metavar="FILE", help=poses)
    depth = "one depth map per picture (.npy, .npz, .exr, .pfm in metres, .png in millimetres): it gives the scale"
    group.add_argument("--depth", type=Path, metavar="FOLDER", help=depth)
    scale = "metres between two cameras, as IMG_1,IMG_9=1.5; or poses, for the scale only; or depth"
    group.add_argument("--scale-from", metavar="A,B=METRES|poses|depth", help=scale)
    masks = "one mask per picture, white = use"
    group.add_argument("--masks", type=Path, metavar="FOLDER", help=masks)
    group.add_argument("--sky", action="store_true", help="leave out the sky, which is found by its colour")
    moving = "leave out what stands where earlier frames saw nothing: people, cars"
    group.add_argument("--moving", action="store_true", help=moving)


def _add_panorama(group: argparse._ArgumentGroup) -> None:
    panorama = "360-degree pictures (equirectangular): cut each into N views that look around, such as 6"
    group.add_argument("--panorama", type=int, metavar="N", help=panorama)


def _add_known_to_stream(group: argparse._ArgumentGroup) -> None:
    """Declare them as a stream takes them."""
    _add_known(group)
    _add_panorama(group)
    condition = "show the network known poses with intrinsics, too; only one trained with ray maps understands them"
    group.add_argument("--condition", action="store_true", help=condition)


def add_known_to_align(group: argparse._ArgumentGroup, *, footage: bool) -> None:
    """Declare them as an alignment takes them.

    Args:
        footage: It reads footage itself; a finished run knows whether its pictures were panoramas.
    """
    _add_known(group)
    if footage:
        _add_panorama(group)
    sigma = "the poses may be off by about so much, and are improved"
    group.add_argument("--pose-sigma", metavar="METRES,DEGREES", help=sigma)


def add_saves(group: argparse._ArgumentGroup) -> None:
    """Declare the flags for what is left in the end. The slash at the end of a folder counts, so they are no paths."""
    save = "scene.ply, .glb, .html, traj.tum, ... or a folder (scene/) that splat trainers take; repeat"
    group.add_argument("--save", action="append", default=[], metavar="FILE|DIR/", help=save)
    export = f"a folder in one format (docs/exports.md): {', '.join(name for name in FORMATS if name != SCENE)}; repeat"
    group.add_argument("--export", action="append", default=[], metavar="FORMAT:DIR", help=export)


def add_scene(group: argparse._ArgumentGroup) -> None:
    """Declare the flags for what becomes a part of the scene."""
    threshold = "show and save points above this confidence (default: what the network's file says, else 1.5)"
    group.add_argument("--vis_threshold", type=float, help=threshold)
    edges = "keep flying pixels: points that hang between a near and a far surface"
    group.add_argument("--keep-edges", action="store_true", help=edges)
    group.add_argument("--voxel-size", type=float, default=0.01, metavar="M", help="metres between saved points")
    most = "voxels grow until no more are needed"
    group.add_argument("--max-points", type=int, default=1_000_000, metavar="N", help=most)


def add_page(group: argparse._ActionsContainer) -> None:
    """Declare where the 3D page is to be found."""
    host = "who sees the 3D page: 0.0.0.0 for other machines, too (default: %(default)s, this one)"
    group.add_argument("--host", default="127.0.0.1", help=host)
    group.add_argument("--port", type=int, default=8080, help="of the 3D page (default: %(default)s)")


def _add_input(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to reconstruct, with what")
    what = "folder, video, image, .mcap, ROS bag, list.txt, 'glob*', camera:0 or a URL (rtsp, http)"
    group.add_argument("source", nargs="*", metavar="SOURCE", help=what)
    group.add_argument("--seq_path", metavar="SOURCE", help="the same, as a flag")
    group.add_argument("--model_path", metavar="FILE|NAME", help="a checkpoint, or a name: 512-dpt, 224-linear, tiny")
    group.add_argument("--device", default="auto", help="auto, cuda, cuda:1, mps or cpu (default: %(default)s)")
    precision = "precision of the matrix products; auto: bf16 where it is faster"
    group.add_argument("--dtype", choices=DTYPES, default="auto", help=precision)
    compile_help = "compile the network's blocks first, which takes a minute"
    group.add_argument("--compile", action="store_true", help=compile_help)


def _add_selection(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--fps", type=float, help="so many per second of a video, by its time stamps")
    group.add_argument("--every", type=int, default=1, metavar="N", help="every n-th")
    group.add_argument("--start", type=int, default=0, metavar="I", help="begin with this frame, counted from 0")
    group.add_argument("--end", type=int, metavar="I", help="stop before this frame")
    group.add_argument("--max-frames", type=int, metavar="N", help="at most so many, spread evenly")
    topic = "the stream of pictures in an .mcap or ROS bag that has several"
    group.add_argument("--topic", metavar="NAME", help=topic)
    order = "order of the files in a folder"
    group.add_argument("--sort", choices=("natural", "name", "mtime"), default="natural", help=order)
    group.add_argument("--skip-bad", action="store_true", help="go on after unreadable frames, and count them")


def _add_method(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--size", type=int, help="longer side of the network's images (default: as it was trained)")
    fit = "how sides become multiples of 16"
    group.add_argument("--fit", choices=("crop", "resize", "pad"), default="crop", help=fit)
    group.add_argument("--allow-square", action="store_true", help="do not cut square frames to 4:3")
    revisit = "passes over the footage; the last one counts"
    group.add_argument("--revisit", type=int, default=1, metavar="R", help=revisit)
    freeze = "with --revisit: only the first pass changes the network's state"
    group.add_argument("--freeze", action="store_true", help=freeze)
    points = "camera points and pose, or the world-point head"
    group.add_argument("--points", choices=("self", "world"), default="self", help=points)
    focal = "one focal length for the stream, not one per frame"
    group.add_argument("--shared-focal", action="store_true", help=focal)
    update = (
        "how frames change the state: overwrite, ttt3r, ttsa3r, filt3r, recal3r, memix, memix+ttt3r, frame+ttt3r, ..."
    )
    group.add_argument("--update", default="overwrite", metavar="NAME[:constant=value,...]", help=update)
    resets = "forget the state after so many frames, or (auto) after 100 or when it loses its way; chunks are joined"
    group.add_argument("--reset-every", default="off", metavar="N|auto|off", help=f"{resets} (default: %(default)s)")
    joint = "with --reset-every: how chunks are joined; published: as others do it, by one pose (default: %(default)s)"
    group.add_argument("--joint", choices=("se3", "sim3", "auto", "pose", "published"), default="se3", help=joint)
    overlap = "with --reset-every: frames that two chunks have in common (default: %(default)s)"
    group.add_argument("--overlap", type=int, default=8, metavar="K", help=overlap)
    keyframes = "which frames are written into the state; all have results (default: %(default)s)"
    kinds = "all|every:N|fps:F|motion|overlap"
    group.add_argument("--keyframes", default="all", metavar=kinds, help=keyframes)
    original = "read, fit and write exactly as the original demo does"
    group.add_argument("--original", action="store_true", help=original)


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--output_dir", default="demo_tmp", help="depth, conf, color and camera of each frame")
    overwrite = "write even into a folder with files of others, and replace those that have a frame's name"
    group.add_argument("--overwrite", action="store_true", help=overwrite)
    frames = f"which frames get files in output_dir; some: every {SOME}th (default: %(default)s)"
    group.add_argument("--save-frames", choices=("none", "some", "all"), default="all", help=frames)
    add_saves(group)
    add_scene(group)
    group.add_argument("--resume", action="store_true", help="go on where a run with the same flags stopped")
    group.add_argument("--no-viewer", action="store_true", help="no 3D page; the program ends when it is done")
    add_page(group)
