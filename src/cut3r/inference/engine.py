"""How a session's frames go through the network: plainly, or on a GPU as recorded graphs on two streams.

Encoding a frame needs nothing of the frames before it, so on a GPU the encoder has a stream of its own, and the frames
to come are encoded, several at once, while the decoder is busy with the present one.
"""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.inference.replay import Recorder, Replay, Tensors, cuda_recorder
from cut3r.model.encoder import Tokens, ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs, Prediction
from cut3r.model.state import StreamState

MOST_RECORDINGS = 8  # of each kind; a stream of more sizes records again and again
NAMES = tuple(field.name for field in fields(Prediction))

Measure = Callable[[Prediction], Tensor]


class Arrival:
    """A prediction, and what was measured of it, on their way to the host. `wait` gives them, in float32."""

    def __init__(self, prediction: Prediction, measured: Tensor) -> None:
        self._tensors = [getattr(prediction, name) for name in NAMES] + [measured]
        self._arrived: torch.cuda.Event | None = None
        if measured.is_cuda:
            self._tensors = [None if tensor is None else _start_copy(tensor) for tensor in self._tensors]
            self._arrived = torch.cuda.Event()
            self._arrived.record()

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
    """Runs a network for one session.

    Args:
        graphs: Record and replay; by default on CUDA devices.
        record: How; for tests, which have no GPU.
    """

    def __init__(self, model: Cut3r, *, graphs: bool | None = None, record: Recorder | None = None) -> None:
        self.model = model
        self.on_gpu = model.device.type == "cuda"
        self.graphs = self.on_gpu if graphs is None else graphs
        self._record_encoder = record or cuda_recorder()
        self._record_step = record or cuda_recorder()
        self._encoders: OrderedDict[Any, Replay] = OrderedDict()
        self._steps: OrderedDict[Any, Replay] = OrderedDict()
        self._encoding = torch.cuda.Stream(model.device) if self.on_gpu else None

    @torch.inference_mode()
    def encode(self, images: Float[Tensor, "k 3 h w"]) -> list[Encoded]:
        """Encode k frames at once; on a GPU this returns at once, and `step` waits where it must.

        Args:
            images: On the host.
        """
        patch = self.model.config.patch_size
        grid = (images.shape[2] // patch, images.shape[3] // patch)
        with self._encoder_stream():
            on_device = _to_device(images, self.model.device)
            (features,) = self._run(
                self._encoders,
                (images.shape, images.dtype),
                lambda pixels: (self.model.encode(ViewInput(image=pixels)).features,),
                self._record_encoder,
                on_device,
            )
            ready = torch.cuda.Event() if self._encoding is not None else None
            if ready is not None:
                ready.record()
        return [Encoded(Tokens(some, grid), ready) for some in features.split(1)]

    @torch.inference_mode()
    def step(
        self, state: StreamState, encoded: Encoded, outputs: Outputs, *, update: bool, measure: Measure
    ) -> tuple[Arrival, StreamState]:
        """Do one frame's step; on a GPU this returns before it is done.

        Args:
            measure: Computes one tensor from the prediction, on its device.
        """
        tokens, names = encoded.tokens, _names(outputs)
        if encoded.ready is not None:
            present = torch.cuda.current_stream(self.model.device)
            present.wait_event(encoded.ready)
            tokens.features.record_stream(present)

        def run(features: Tensor, state_tokens: Tensor, memory: Tensor, is_new: Tensor) -> Tensors:
            before = StreamState(state_tokens, memory, is_new)
            prediction, after = self.model.step(before, _picture(update), Tokens(features, tokens.grid), outputs)
            shown = (getattr(prediction, name) for name in names)
            return (*shown, measure(prediction), after.tokens, after.memory, after.is_new)

        key = (tokens.grid, outputs, update)
        values = self._run(
            self._steps, key, run, self._record_step, tokens.features, state.tokens, state.memory, state.is_new
        )
        *shown, measured, state_tokens, memory, is_new = values
        prediction = Prediction(**dict(zip(names, shown, strict=True)))
        return Arrival(prediction, measured), StreamState(state_tokens, memory, is_new)

    def _run(
        self,
        recordings: OrderedDict[Any, Replay],
        key: Any,
        function: Callable[..., Tensors],
        record: Recorder,
        *inputs: Tensor,
    ) -> Tensors:
        if not self.graphs:
            return function(*inputs)
        if key not in recordings:
            recordings[key] = Replay(function, record)
            if len(recordings) > MOST_RECORDINGS:
                recordings.popitem(last=False)
        recordings.move_to_end(key)
        return recordings[key](*inputs)

    def _encoder_stream(self) -> AbstractContextManager[Any]:
        if self._encoding is None:
            return nullcontext()
        return torch.cuda.stream(self._encoding)


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
