"""How a session's frames go through the network: plainly, or on a GPU as recorded graphs on two streams.

Encoding a frame needs nothing of the frames before it, so on a GPU the encoder has a stream of its own, and the frames
to come are encoded, several at once, while the decoder is busy with the present one.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from cut3r.inference.preprocess import normalize
from cut3r.inference.replay import CudaRecorder, Recorder, Recordings, Tensors
from cut3r.model.encoder import Tokens, ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs, Prediction
from cut3r.model.state import StreamState
from cut3r.model.update import OVERWRITE, UpdateRule
from cut3r.speed.concurrent import concurrently

NAMES = tuple(field.name for field in fields(Prediction))

# One tensor computed from a prediction, on its device, and from a mask of pixels where there is one.
Measure = Callable[[Prediction, Tensor | None], Tensor]


def nothing(_prediction: Prediction, _mask: Tensor | None) -> Tensor:
    """A measure for whoever wants none."""
    return torch.zeros(())


class PendingPrediction:
    """A prediction, and what was measured of it, on their way to the host. `wait` gives them, in float32."""

    def __init__(self, prediction: Prediction, measured: Tensor, device: torch.device) -> None:
        self._tensors = [getattr(prediction, name) for name in NAMES] + [measured]
        self._arrived: torch.cuda.Event | None = None
        if device.type == "cuda":
            self._tensors = [None if tensor is None else _start_copy(tensor) for tensor in self._tensors]
            self._arrived = torch.cuda.Event()
            self._arrived.record(torch.cuda.current_stream(device))

    def wait(self) -> tuple[Prediction, Tensor]:
        if self._arrived is not None:
            self._arrived.synchronize()
            # out of page-locked memory, of which a caller who keeps results would take more and more
            self._tensors = [None if tensor is None else tensor.clone() for tensor in self._tensors]
        *values, measured = (None if tensor is None else tensor.to("cpu", torch.float32) for tensor in self._tensors)
        assert measured is not None
        return Prediction(**dict(zip(NAMES, values, strict=True))), measured


@dataclass(frozen=True)
class Encoded:
    """A frame's tokens; on a GPU perhaps not yet there, `ready` says when."""

    tokens: Tokens
    ready: torch.cuda.Event | None = None


class Engine:
    """Runs a network for one session, or for several one after the other: recordings are made once.

    Args:
        rule: How views are written; the states must have been made for it.
        graphs: Record and replay; by default on CUDA devices.
        record: How; by default as CUDA graphs.
        asynchronous: Whether work is only started by a call and done later, as on a GPU; for tests, which have none.

    Attributes:
        lock: Held by whoever uses the network: two forward passes at once take twice the memory.
    """

    def __init__(
        self,
        model: Cut3r,
        *,
        rule: UpdateRule = OVERWRITE,
        graphs: bool | None = None,
        record: Recorder | None = None,
        asynchronous: bool | None = None,
    ) -> None:
        self.model, self.rule = model, rule
        self.lock = threading.Lock()
        self.on_gpu = model.device.type == "cuda"
        self.asynchronous = self.on_gpu if asynchronous is None else asynchronous
        graphs = self.on_gpu if graphs is None else graphs
        if graphs:
            model.decoder.both = concurrently
        with self.on_device():
            self._encoders = _recordings(model.device, record) if graphs else Recordings(None)
            self._steps = _recordings(model.device, record) if graphs else Recordings(None)
            self._encoding = torch.cuda.Stream(model.device) if self.on_gpu else None

    @contextmanager
    def on_device(self) -> Iterator[None]:
        """Make the model's GPU the current one: streams, events and graphs belong to the current device."""
        if not self.on_gpu:
            yield
            return
        with torch.cuda.device(self.model.device):
            yield

    @torch.inference_mode()
    def encode(self, images: UInt8[Tensor, "k h w 3"]) -> list[Encoded]:
        """Encode k frames at once; on a GPU this returns at once, and `step` waits where it must.

        Args:
            images: On the host.
        """
        model, patch = self.model, self.model.config.patch_size
        grid = (images.shape[1] // patch, images.shape[2] // patch)

        def run(pixels: Tensor) -> Tensors:
            return (model.encode(ViewInput(image=normalize(pixels))).features,)

        with self.on_device(), torch.cuda.stream(self._encoding):  # a stream of None changes nothing
            (features,) = self._encoders.run((grid,), run, _to_device(images, model.device))
            ready = torch.cuda.Event() if self._encoding is not None else None
            if ready is not None:
                ready.record(self._encoding)
        return [Encoded(Tokens(some, grid), ready) for some in features.split(1)]

    @torch.inference_mode()
    def with_rays(self, encoded: Encoded, rays: Float[Tensor, "h w 6"]) -> Encoded:
        """The same frame, of which the network is told the camera: its tokens, and those of the ray map added.

        Args:
            rays: On the host.
        """
        with self.on_device():
            self._wait_for(encoded)
            tokens = self.model.encode(ViewInput(ray_map=rays[None].to(self.model.device)))
            return Encoded(Tokens(encoded.tokens.features + tokens.features, tokens.grid))

    def _wait_for(self, encoded: Encoded) -> None:
        if encoded.ready is not None:
            present = torch.cuda.current_stream(self.model.device)
            present.wait_event(encoded.ready)
            encoded.tokens.features.record_stream(present)

    @torch.inference_mode()
    def step(
        self,
        state: StreamState,
        encoded: Encoded,
        outputs: Outputs,
        *,
        update: bool,
        measure: Measure,
        mask: Bool[Tensor, "h w"] | None = None,
    ) -> tuple[PendingPrediction, StreamState]:
        """Do one frame's step; on a GPU this returns before it is done.

        Args:
            measure: Computes one tensor from the prediction and the mask, on their device. The same function each time:
                recordings are told apart by it.
            mask: On the host.
        """
        model, rule = self.model, self.rule  # not `self`: a recording would keep its own engine alive
        grid, names = encoded.tokens.grid, _names(outputs)

        kept = tuple(state.tensors())  # names

        def run(features: Tensor, *rest: Tensor) -> Tensors:
            before = StreamState.from_tensors(dict(zip(kept, rest, strict=False)))
            prediction, after = model.step(before, _picture(update), Tokens(features, grid), outputs, rule)
            shown = (getattr(prediction, name) for name in names)
            measured = measure(prediction, rest[-1] if len(rest) > len(kept) else None)
            remembered = after.tensors()
            return (*shown, measured, *(remembered[name] for name in kept))

        with self.on_device():
            self._wait_for(encoded)
            masks = () if mask is None else (_to_device(mask, model.device),)
            inputs = (encoded.tokens.features, *state.tensors().values(), *masks)
            values = self._steps.run((grid, outputs, update, measure, kept), run, *inputs)
            prediction = Prediction(**dict(zip(names, values, strict=False)))
            after = StreamState.from_tensors(dict(zip(kept, values[len(names) + 1 :], strict=True)))
            return PendingPrediction(prediction, values[len(names)], model.device), after


def _recordings(device: torch.device, record: Recorder | None) -> Recordings:
    """The encoder's or the step's: they are replayed on two streams at once, so nothing may be shared between them."""
    if record is not None:
        return Recordings(record)
    recorder = CudaRecorder(device)
    return Recordings(recorder, recorder.forget)


def _names(outputs: Outputs) -> list[str]:
    """The fields of a prediction that these heads fill."""
    filled = {
        "points_cam": outputs.points_cam,
        "conf_cam": outputs.points_cam,
        "points_world": outputs.points_world,
        "conf_world": outputs.points_world,
        "rgb": outputs.rgb,
        "world_from_cam": outputs.pose,
        "pose_encoding": outputs.pose,
    }
    return [name for name in NAMES if filled[name]]


def _picture(update: bool) -> ViewInput:
    """What a step wants to know of its view, beside the tokens."""
    return ViewInput(image=torch.empty(1, 3, 1, 1, device="meta"), update=torch.tensor([update]))


def _to_device(images: Tensor, device: torch.device) -> Tensor:
    return images.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else images.to(device)


def _start_copy(tensor: Tensor) -> Tensor:
    place = torch.empty(tensor.shape, dtype=torch.float32, pin_memory=True)
    return place.copy_(tensor, non_blocking=True)
