"""What memory a network needs for one frame, counted and not measured: the same arithmetic on every machine."""

from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from cut3r.model.config import ModelConfig
from cut3r.model.encoder import ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs
from cut3r.speed.live_bytes import LiveBytes

PROGRAM = 750_000_000  # bytes of a process with PyTorch and codecs, without a network
# What kernels take for themselves, as a factor. Measured on a CPU: 4.30 GB where this gives 4.35 (512-dpt in float32,
# 512x384), and 3.78 GB where it gives 3.79 (224-linear).
SCRATCH = 1.5
CONTEXT = 500_000_000  # bytes that CUDA takes of a GPU beside the tensors
AHEAD = 4  # frames that a GPU encodes together, while it decodes another one
CONTAINER = Path("/sys/fs/cgroup")  # where Linux says what a container may use


# Machines as they are sold, in GiB, and the bytes of them that are usually taken: by the system and a browser with the
# page; by the desktop that a card shows.
HOSTS, TAKEN_OF_HOST = (8, 16, 32), 2_500_000_000
CARDS, TAKEN_OF_CARD = (4, 6, 8, 16), 500_000_000


@dataclass(frozen=True)
class FrameMemory:
    """In bytes: the weights, and the most that tensors of one frame take at a time, and of `AHEAD` in the encoder."""

    weights: int
    frame: int
    ahead: int = 0

    def on_host(self) -> int:
        """What a run on a CPU takes."""
        return PROGRAM + self.weights + int(SCRATCH * self.frame)

    def on_gpu(self) -> int:
        """What a run on a GPU takes there: frames that are encoded ahead have memory of their own."""
        return CONTEXT + self.weights + int(SCRATCH * (self.frame + self.ahead))

    def needs(self, *, on_gpu: bool) -> int:
        return self.on_gpu() if on_gpu else self.on_host()


def usually_free(gib: int, *, of_card: bool) -> int:
    """Bytes that a run can have of a machine with so much memory."""
    return gib * 2**30 - (TAKEN_OF_CARD if of_card else TAKEN_OF_HOST)


def memory_of_frame(config: ModelConfig, size: tuple[int, int], dtype: torch.dtype) -> FrameMemory:
    """Count what one frame of `size` (h, w) needs in the middle of a stream, with the outputs of a reconstruction.

    The network runs on the meta device, which knows shapes and has no numbers: no memory, hardly any time.
    """
    with torch.device("meta"):
        model = Cut3r(config).eval().requires_grad_(False).to_dtype(dtype)
        image, images, state = torch.empty(1, 3, *size), torch.empty(AHEAD, 3, *size), model.initial_state()
    weights = [*model.parameters(), *model.buffers()]
    known = [*weights, *state.tensors().values(), image, images]
    with torch.inference_mode(), LiveBytes(known) as alive:
        view = ViewInput(image=image)
        model.step(state, view, model.encode(view), Outputs())
    with torch.inference_mode(), LiveBytes(known) as ahead:
        model.encode(ViewInput(image=images))
    return FrameMemory(sum(tensor.nbytes for tensor in weights), alive.peak, ahead.peak)


def free_on_host() -> int:
    """Bytes that this process can still get: of the machine, or of the container that it is in."""
    free: int = psutil.virtual_memory().available
    limit, used = (_number(CONTAINER / name) for name in ("memory.max", "memory.current"))
    return free if limit is None or used is None else max(0, min(free, limit - used))


def _number(path: Path) -> int | None:
    """What a file of the system says; None where there is none, or no limit."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
