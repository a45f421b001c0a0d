"""How many floating-point operations does one frame cost? Counted, not measured: a multiply-add is two.

Matrix products, attention and convolutions count; norms, activations and interpolation (less than 1 %) do not.
"""

import torch
from torch.utils.flop_counter import FlopCounterMode

from cut3r.model.config import ModelConfig
from cut3r.model.encoder import ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs


def gflop_per_frame(config: ModelConfig, size: tuple[int, int], outputs: Outputs) -> float:
    """Count what one image of `size` (h, w) costs in the middle of a stream: encode, step, and write the state.

    The network runs on the meta device, which knows shapes and has no numbers: no memory, hardly any time.
    """
    with torch.device("meta"):
        model = Cut3r(config).eval().requires_grad_(False)
    view = ViewInput(image=torch.empty(1, 3, *size, device="meta"))
    state = model.initial_state()
    with FlopCounterMode(display=False) as counter:
        model.step(state, view, model.encode(view), outputs)
    return counter.get_total_flops() / 1e9
