"""A session: frames in, one result per frame out, in constant memory.

A session holds the state of one stream and nothing that grows with it. The stream's world is the camera of its first
frame.
"""

import hashlib
import json
import logging
import statistics
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cut3r.geometry.cameras import image_center, pinhole, ray_map
from cut3r.geometry.focal import estimate_focal
from cut3r.inference.preprocess import FitConfig, fit, to_tensor
from cut3r.inference.result import FrameResult, PointSource, QueryResult
from cut3r.io.atomic import atomic_path
from cut3r.io.frames import Frame
from cut3r.model.config import RayDirection
from cut3r.model.encoder import ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs, Prediction
from cut3r.model.state import StreamState

logger = logging.getLogger(__name__)

FOCAL_WINDOW = 101  # frames that vote for a shared focal length
FOCAL_RANGE = (0.05, 50.0)  # longer sides of the image; no lens is outside
UNKNOWN_FOCAL = 0.866  # longer sides of the image: sees 60 degrees


@dataclass(frozen=True)
class Snapshot:
    """All that a session remembers: keep it to come back to this moment."""

    state: StreamState
    number: int = 0
    chunk: int = 0
    focals: tuple[float, ...] = ()


class Session:
    """One stream through one network.

    Args:
        outputs: Heads to run for each frame; camera points and the pose are always among them. fit: How frames are
        brought to a size of the network; by default the size that it was trained at. source: Which of the two point
        maps becomes the world points. `PointSource.world` runs the world head. shared_focal: Give each frame the
        median focal length of the last 101 frames instead of its own, which jitters. For
            footage from one camera without zoom.
        parity: Compute intrinsics exactly as the original's demo: from all pixels, with the principal point (w // 2,
        h // 2).
    """

    def __init__(
        self,
        model: Cut3r,
        outputs: Outputs | None = None,
        *,
        fit: FitConfig | None = None,
        source: PointSource = PointSource.self,
        shared_focal: bool = False,
        parity: bool = False,
    ) -> None:
        self.model = model
        outputs = replace(outputs or Outputs(), points_cam=True, pose=True)
        self.outputs = replace(outputs, points_world=outputs.points_world or source is PointSource.world)
        self.fit = fit or FitConfig(size=trained_size(model))
        self.source = source
        self.shared_focal = shared_focal
        self.parity = parity
        self._network = threading.Lock()
        self._warn_about_size()
        self._now = self._start()

    def push(self, frame: Frame, *, update: bool = True) -> FrameResult:
        """Reconstruct the next frame of the stream.

        Args:
            update: Let the frame change the state. Without, it is only compared with what the session knows, and can be
                pushed at any time: to localise a picture, or to see a frame again with the knowledge of later ones.

        Raises:
            ValueError: The frame's shape cannot be brought to a size of the network.
        """
        image, pixel_map = fit(frame.rgb, self.fit, name=frame.name)
        view = ViewInput(
            image=to_tensor(image).to(self.model.device), update=None if update else torch.zeros(1, dtype=torch.bool)
        )
        prediction, state = self._step(view, self.outputs)
        assert prediction.points_cam is not None
        z = prediction.points_cam[0, ..., 2]
        valid = (z > 0) & prediction.points_cam[0].isfinite().all(dim=-1) & pixel_map.inside()
        intrinsics, focals = self._intrinsics(prediction)
        now = self._now
        result = FrameResult(
            frame, now.number, image, prediction, intrinsics, pixel_map, valid, now.chunk, source=self.source
        )
        self._now = Snapshot(state, now.number + 1, now.chunk, focals)
        return result

    def absorb(self, frame: Frame) -> None:
        """Let a frame change the state without computing its result: a third of the work less, for passes nobody
        looks at."""
        image, _ = fit(frame.rgb, self.fit, name=frame.name)
        _, state = self._step(ViewInput(image=to_tensor(image).to(self.model.device)), Outputs.none())
        self._now = replace(self._now, state=state)

    def query(
        self,
        world_from_cam: Float[Tensor, "4 4"],
        intrinsics: Float[Tensor, "3 3"],
        size: tuple[int, int] | None = None,
    ) -> QueryResult:
        """Predict what a camera would see that took no picture. The state is not changed, and any thread may ask.

        Args:
            world_from_cam: The camera in the stream's world, metres.
            intrinsics: In pixels of the picture to predict.
            size: (h, w) of that picture in pixels, multiples of the patch size; by default that of a 4:3 frame.

        Raises:
            ValueError: The session has seen no frame yet, or the size does not fit the network.
        """
        if bool(self._now.state.is_new.any()):
            raise ValueError("a query needs a scene, and this session has seen no frame yet; push a frame first")
        size = size or default_size(self.model)
        world_from_cam, intrinsics = world_from_cam.detach().float().cpu(), intrinsics.detach().float().cpu()
        include_translation = self.model.config.ray_direction is RayDirection.point_at_unit_depth
        rays = ray_map(world_from_cam, intrinsics, size, include_translation=include_translation)
        view = ViewInput(ray_map=rays[None].to(self.model.device))
        outputs = replace(self.outputs, rgb=True)
        prediction, _ = self._step(view, outputs)
        return QueryResult(prediction, world_from_cam, intrinsics)

    def reset(self) -> None:
        """Forget the stream. The next frame starts a new world, and a new chunk."""
        self._now = replace(self._now, state=self._start().state, chunk=self._now.chunk + 1)

    @property
    def frames_seen(self) -> int:
        """The number of the next result."""
        return self._now.number

    def snapshot(self) -> Snapshot:
        """The session's memory as a value; it costs nothing and is not changed by later frames."""
        return self._now

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this session, or go on from one of another session with the same network."""
        self._now = replace(snapshot, state=snapshot.state.to(self.model.device))

    def save(self, path: str | Path) -> None:
        """Write the session's memory (4 MB for the published networks); `load` in another process goes on
        bit-exactly."""
        tensors, metadata = self.pack()
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata)

    def load(self, path: str | Path) -> None:
        """Go on where a saved session stopped.

        Raises:
            FileNotFoundError: No such file.
            ValueError: Not a saved session, or one of another network.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no saved session at {path}")
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                metadata = file.metadata() or {}
        except SafetensorError as error:
            raise ValueError(
                f"{path} is not a saved session ({error}); expected a file written by Session.save"
            ) from error
        self.unpack(tensors, metadata, name=str(path))

    def pack(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The session's memory as named tensors and text, for a file that holds more than the session."""
        now = self._now
        state = now.state.to("cpu")
        tensors = {
            "session.tokens": state.tokens.contiguous(),
            "session.memory": state.memory.contiguous(),
            "session.is_new": state.is_new,
            "session.focals": torch.tensor(now.focals, dtype=torch.float64),
        }
        record = {"number": now.number, "chunk": now.chunk, "network": fingerprint(self.model)}
        return {name: tensor.clone() for name, tensor in tensors.items()}, {"cut3r.session": json.dumps(record)}

    def unpack(self, tensors: dict[str, Tensor], metadata: dict[str, str], *, name: str = "the file") -> None:
        """Take over what `pack` gave.

        Raises:
            ValueError: Not a saved session, or one of another network.
        """
        if "cut3r.session" not in metadata:
            raise ValueError(f"{name} is not a saved session; expected a file written by Session.save")
        record = json.loads(metadata["cut3r.session"])
        if record["network"] != fingerprint(self.model):
            raise ValueError(
                f"{name} was saved by a session of another network (or other weights); "
                "load the checkpoint it was made with"
            )
        state = StreamState(tensors["session.tokens"], tensors["session.memory"], tensors["session.is_new"])
        focals = tuple(tensors["session.focals"].tolist())
        self.restore(Snapshot(state, record["number"], record["chunk"], focals))

    @torch.inference_mode()
    def _start(self) -> Snapshot:
        return Snapshot(self.model.initial_state(1))

    @torch.inference_mode()
    def _step(self, view: ViewInput, outputs: Outputs) -> tuple[Prediction, StreamState]:
        with self._network:  # a query from another thread waits: two forward passes at once take twice the memory
            tokens = self.model.encode(view)
            prediction, state = self.model.step(self._now.state, view, tokens, outputs)
        return prediction.to("cpu", torch.float32), state

    def _intrinsics(self, prediction: Prediction) -> tuple[Float[Tensor, "3 3"], tuple[float, ...]]:
        """The frame's camera in network pixels, and the votes for a shared focal length, in longer image sides."""
        assert prediction.points_cam is not None and prediction.conf_cam is not None
        points, conf = prediction.points_cam[0], prediction.conf_cam[0]
        h, w = conf.shape
        if self.parity:
            center = (float(w // 2), float(h // 2))
            return pinhole((h, w), float(estimate_focal(points, principal_point=center)), center), ()
        focal = float(estimate_focal(points, weights=conf - 1)) / max(h, w)
        if not FOCAL_RANGE[0] < focal < FOCAL_RANGE[1]:  # also when it is not a number; keep the files usable
            focal = self._now.focals[-1] if self._now.focals else UNKNOWN_FOCAL
            logger.warning(
                "frame %d: its points fit no pinhole camera, using a focal length of %.2f image sides",
                self._now.number,
                focal,
            )
        votes = (*self._now.focals, focal)[-FOCAL_WINDOW:]
        if self.shared_focal:
            focal = statistics.median(votes)
        return pinhole((h, w), focal * max(h, w), image_center((h, w))), votes

    def _warn_about_size(self) -> None:
        trained = trained_size(self.model)
        if self.fit.size != trained:
            logger.warning(
                "frames are brought to size %d, but this network was trained at %d: expect worse results",
                self.fit.size,
                trained,
            )


def trained_size(model: Cut3r) -> int:
    """The longer side of the network's training images in pixels."""
    return max(model.config.image_size)


def default_size(model: Cut3r) -> tuple[int, int]:
    """The (h, w) of a 4:3 frame; square for the 224 network, which saw nothing else."""
    side, patch = trained_size(model), model.config.patch_size
    return (side, side) if side == 224 else (side * 3 // 4 // patch * patch, side)


def fingerprint(model: Cut3r) -> str:
    """Tell networks apart by their configuration and a part of their weights that is cheap to read."""
    digest = hashlib.sha256(repr(model.config).encode())
    for part in (model.memory.slots, model.decoder.pose_token):
        digest.update(part.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()
