"""`cut3r.align`: what a stream has produced becomes one consistent scene."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import tee
from pathlib import Path
from typing import Any

from cut3r.alignment.align import align as align_taken
from cut3r.alignment.align_config import AlignConfig, Loops, Method
from cut3r.alignment.flags import bundle_adjusted
from cut3r.alignment.of_scene import align_scene
from cut3r.alignment.of_stream import align_stream, check_method
from cut3r.alignment.result import Alignment
from cut3r.alignment.streamed import collect
from cut3r.alignment.taken import take
from cut3r.inference.known_distance import KnownDistance
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.result import FrameResult
from cut3r.inference.session import Session
from cut3r.inference.view import View
from cut3r.io.frame import Frame
from cut3r.io.frames import FrameStream
from cut3r.io.known_cameras import KnownCameras
from cut3r.io.known_files import read_known_cameras
from cut3r.model.network import Cut3r
from cut3r.run.finished import FinishedRun, stand_in, those_of
from cut3r.run.known import Known

Results = Iterable[FrameResult | View]
OpenFrames = Callable[[], Iterable[Frame]]


def align(
    source: Session | Reconstruction | Results | str | os.PathLike[str],
    *,
    known: Known | KnownCameras | str | os.PathLike[str] | None = None,
    loops: str = "auto",
    ba: bool = False,
    align: str = "graph",
    model: Cut3r | None = None,
    frames: Sequence[Frame] | OpenFrames | None = None,
    pose_sigma: tuple[float, float] | None = None,
    distance: str | KnownDistance | None = None,
    shared_focal: bool = False,
    rigid: bool = False,
    scene: Reconstruction | None = None,
) -> Reconstruction:
    """Bring the frames of a stream into one world, by what the stream has said of them.

    The network is not asked again, but for loops and for a session, which keeps no results. What the frames of results
    bring along of their cameras (`Frame.intrinsics`, `world_from_cam`, `mask`) counts as known.

    Args:
        source: Results (or views) of the stream; the folder of a finished run with files of each frame; a
            reconstruction, which what is known can move; a session, whose network looks at `frames` in many short
            streams.
        known: Calibrations and poses, or the file that has them; see docs/known_cameras.md.
        loops: "auto" looks for frames that see the same place again, if there is a `model`; or "off".
        ba: Refine cameras by details of the original pictures in the end (needs `cut3r[ba]`).
        align: "graph" moves frames as they are; "full" refines depth and focal lengths, too.
        model: Looks for loops. A folder's own network is not loaded here; `cut3r align` does.
        frames: The original frames, or what opens them, for `ba` and for a session; results have their own.
        pose_sigma: Metres and radians by which known poses may be off; without, they stay.
        distance: Metres between two cameras, as "IMG_1,IMG_9=1.5".
        shared_focal: One camera without zoom.
        rigid: Frames get no scale of their own.
        scene: Is filled, for limits of your own; by default a new one.

    Raises:
        FileNotFoundError, ValueError: A source without frames or of an unfinished run, frames of several shapes,
            something known that does not fit, a choice that does not exist.
    """
    if isinstance(distance, str):
        distance = KnownDistance.parse(distance)
    config = AlignConfig(
        Method(_one_of("align", align, ("graph", "full"))),
        loops=Loops(_one_of("loops", loops, ("auto", "off"))),
        with_scale=not rigid,
        shared_focal=shared_focal,
        pose_sigma=pose_sigma,
        distance=distance,
    )
    check_method(config)
    opened = frames if callable(frames) or frames is None else (lambda: frames)
    facts = _as_known(known)
    if isinstance(source, Session):
        aligned = _by_session(source, config, opened, facts)
    elif isinstance(source, (str, os.PathLike)):
        run = FinishedRun(Path(source))
        aligned = align_stream(collect(run.views(facts)), config, model)
    elif isinstance(source, Reconstruction):
        if ba or scene is not None:
            raise ValueError("a Reconstruction has no pictures and its own limits; leave out ba and scene")
        return align_scene(source, config, facts)
    else:
        opened = opened or _own_frames(source)
        aligned = align_stream(collect(_with_frames(source, facts)), config, model)
    if ba:
        if opened is None:
            raise ValueError("bundle adjustment looks at the original pictures; give them with frames=...")
        aligned = bundle_adjusted(aligned, config, partial(_originals, aligned, opened, facts))
    scene = Reconstruction() if scene is None else scene
    for result in aligned.results():
        scene.add(result)
    return scene


def _by_session(session: Session, config: AlignConfig, frames: OpenFrames | None, known: Known) -> Alignment:
    if frames is None:
        raise ValueError(
            "a session keeps no results, so there is nothing to align; give its results "
            "(list(session.stream(...))), or its frames with frames=..., which its network then looks at again"
        )
    return align_taken(session.model, take(_onto(known, frames()), session.fit), config)


def _originals(aligned: Alignment, frames: OpenFrames, known: Known) -> Iterator[Frame]:
    return those_of(aligned.taken.origins, _onto(known, frames()))


def _with_frames(results: Results, known: Known) -> Iterator[tuple[View, Frame | None]]:
    """The views of results, with what is known of their frames."""
    ours, theirs = tee(results)
    frames = _onto(known, (_frame_of(each) for each in theirs), len(results) if isinstance(results, Sequence) else None)
    for each, frame in zip(ours, frames, strict=True):
        yield (each.view if isinstance(each, FrameResult) else each), frame


def _onto(known: Known, frames: Iterable[Frame], count: int | None = None) -> Iterator[Frame]:
    count = len(frames) if isinstance(frames, Sequence) else count
    return known.onto(FrameStream(iter(frames), "frames", expected=count, skipped=[]), seen=True)


def _frame_of(result: Any) -> Frame:
    if isinstance(result, FrameResult):
        return result.frame
    if not isinstance(result, View):
        raise TypeError(
            f"a value of type {type(result).__name__} cannot be aligned; expected are results of a session, "
            "views, or the folder of a run"
        )
    return stand_in(result)


def _own_frames(results: Results) -> OpenFrames | None:
    """The originals that results hold, where they can be looked at twice."""
    if not isinstance(results, Sequence) or not all(isinstance(each, FrameResult) for each in results):
        return None
    return lambda: (result.frame for result in results)


def _as_known(known: Any) -> Known:
    if known is None or isinstance(known, Known):
        return known or Known()
    cameras = known if isinstance(known, KnownCameras) else read_known_cameras(Path(known))
    lenses = any(camera.any_lens is not None for camera in cameras.cameras)
    poses = any(camera.world_from_cam is not None for camera in cameras.cameras)
    return Known(cameras if lenses else None, cameras if poses else None)


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(choices)}")
    return value
