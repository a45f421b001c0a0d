"""Results for Rerun (https://rerun.io): a recording that its viewer opens, or a viewer that is watching already.

Each frame is logged at its number (`frame`) and time (`time`): camera, picture, depth, and its points. Everything of a
chunk hangs below one entity, whose transform says where the chunk stands, so that moving a chunk later is one line.
"""

import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from cut3r.files.atomic import atomic_path
from cut3r.geometry.registration import Similarity
from cut3r.inference.result import FrameResult
from cut3r.inference.sink import Sink
from cut3r.inference.view import EDGES, View
from cut3r.run.formats import LIVE_RERUN

SPAWN, *_PROTOCOLS = LIVE_RERUN
PROTOCOLS = tuple(_PROTOCOLS)
USUAL_PORT = 9876
WAIT_S = 3.0  # for a viewer to answer
JPEG_QUALITY = 85
WORLD = "world"


class RerunSink(Sink):
    """Takes a stream's results to a file or to a viewer.

    Args:
        target: A path of an .rrd file, written atomically: it is there when the sink is finished. Or the address of a
            viewer that waits (`rerun` in another terminal says it), as `rerun+http://127.0.0.1:9876/proxy`; or "spawn",
            which opens a viewer.
        confidence: Points at or below are left out, as for a `Reconstruction`; `edges` likewise.
        max_points: Of each frame, spread evenly over it.

    Raises:
        ImportError: rerun-sdk is not there.
        ValueError: Neither .rrd nor an address.
    """

    def __init__(
        self,
        target: str | Path,
        *,
        confidence: float = 1.5,
        edges: float | None = EDGES,
        max_points: int = 20_000,
    ) -> None:
        check_rerun_target(target)
        self._rerun = _import_rerun()
        self._target, self._confidence, self._edges, self._most = target, confidence, edges, max_points
        self._stack = ExitStack()
        self._recording: Any = None
        self._places: dict[int, np.ndarray] = {}

    def begin(self, first: int = 0) -> None:
        """Open the file or the connection.

        Raises:
            ValueError: No viewer waits at the address.
        """
        self._recording = self._rerun.RecordingStream("cut3r")
        if self._target == SPAWN:
            self._recording.spawn()
        elif str(self._target).startswith(PROTOCOLS):
            check_viewer(str(self._target))
            self._recording.connect_grpc(str(self._target))
        else:
            self._recording.save(self._stack.enter_context(atomic_path(self._target)))
        self._stack.callback(self._recording.disconnect)
        self._log(WORLD, self._rerun.ViewCoordinates.RIGHT_HAND_Y_DOWN, static=True)

    def add(self, result: FrameResult | View) -> None:
        """Log one frame; an earlier chunk that stands elsewhere is moved from this frame on."""
        view = result if isinstance(result, View) else result.view
        self._recording.set_time("frame", sequence=view.number)
        if view.time_s is not None:
            self._recording.set_time("time", duration=view.time_s)
        for chunk, place in view.moves.items():
            self._place(chunk, place)
        self._place(view.chunk, view.world_from_chunk)
        if view.camera_is_finite:
            self._camera(view)
            self._points(view)

    def move(self, chunk: int, world_from_chunk: Similarity) -> None:
        """Put a chunk elsewhere, from the latest frame on."""
        self._place(chunk, world_from_chunk)

    def finish(self) -> None:
        """Close the file, which is then whole, or the connection."""
        self._stack.close()

    def _log(self, entity: str, *parts: Any, static: bool = False) -> None:
        self._recording.log(entity, *parts, static=static)

    def _place(self, chunk: int, place: Similarity | None) -> None:
        at = Similarity.identity() if place is None else place
        before, now = self._places.get(chunk), at.matrix().double().numpy()
        if before is not None and np.array_equal(before, now):
            return
        self._places[chunk] = now
        self._log(
            _entity(chunk),
            self._rerun.Transform3D(
                translation=at.translation.numpy(), mat3x3=at.rotation.numpy(), scale=float(at.scale)
            ),
        )

    def _camera(self, view: View) -> None:
        rerun, entity = self._rerun, f"{_entity(view.chunk)}/camera"
        pose, (h, w) = view.chunk_from_cam.double().numpy(), view.image.shape[:2]
        self._log(entity, rerun.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))
        intrinsics = view.intrinsics.double().numpy()
        frame = rerun.ViewCoordinates.RDF
        corner = intrinsics + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])  # counted from the corner of the picture
        self._log(f"{entity}/picture", rerun.Pinhole(image_from_camera=corner, width=w, height=h, camera_xyz=frame))
        self._log(f"{entity}/picture/rgb", rerun.Image(view.image).compress(jpeg_quality=JPEG_QUALITY))
        depth = np.where(view.valid.numpy(), view.points[..., 2].float().numpy(), np.float32(0))
        self._log(f"{entity}/picture/depth", rerun.DepthImage(depth, meter=1.0))

    def _points(self, view: View) -> None:
        """Each frame's points are an entity of their own, so that they stay when the next frame comes."""
        kept = view.on_surfaces(self._edges).numpy() & (view.confidence.numpy() > self._confidence)
        where = np.flatnonzero(kept & np.isfinite(view.points_chunk.numpy()).all(axis=-1))
        where = where[:: max(1, -(-len(where) // self._most))]
        points = view.points_chunk.numpy().reshape(-1, 3)[where]
        depth = np.median(view.points[..., 2].numpy().reshape(-1)[where]) if len(where) else 0.0
        radius = 0.5 * depth / float(view.intrinsics[0, 0])
        colors = view.image.reshape(-1, 3)[where]
        entity = f"{_entity(view.chunk)}/points/{view.number:06d}"
        self._log(entity, self._rerun.Points3D(points, colors=colors, radii=radius))


def check_rerun_target(target: str | Path) -> None:
    """Refuse what is neither a recording nor an address."""
    if target != SPAWN and not str(target).startswith(PROTOCOLS) and Path(target).suffix.lower() != ".rrd":
        raise ValueError(f"{target} is no recording of Rerun; expected a name that ends in .rrd, or rerun+http://...")


def check_viewer(address: str) -> None:
    """See that somebody listens, for Rerun itself would wait for long and then drop everything.

    Raises:
        ValueError: Nobody does.
    """
    place = urlsplit(address)
    try:
        socket.create_connection((place.hostname or "127.0.0.1", place.port or USUAL_PORT), WAIT_S).close()
    except OSError as error:
        raise ValueError(
            f"no viewer of Rerun waits at {address} ({error}); start one with 'rerun', which says its address"
        ) from error


def _entity(chunk: int) -> str:
    return f"{WORLD}/chunk_{chunk}"


def _import_rerun() -> Any:
    try:
        import rerun
    except ImportError as error:
        raise ImportError(f"a recording for Rerun needs its package ({error}): pip install rerun-sdk") from error
    return rerun
