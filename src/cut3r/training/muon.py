"""Muon: momentum whose every matrix is made orthogonal, so that all its directions are learned alike.

The steps are those of `torch.optim.Muon` with `adjust_lr_fn="match_rms_adamw"`: the learning rates of AdamW suit it.
That one works matrix by matrix and always in bfloat16, which for networks of small matrices means thousands of launches
on a GPU, and ten times the time on a CPU without instructions for bfloat16.

Source: https://kellerjordan.github.io/posts/muon/; the factor of the rate: Moonlight (arXiv 2502.16982), eq. 4.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cut3r.speed.processor import multiplies_bfloat16

COEFFICIENTS, ITERATIONS = (3.4445, -4.775, 2.0315), 5  # of the Newton-Schulz iteration, steepest at 0


class Muon(torch.optim.Optimizer):
    """For matrices only. The decay is decoupled, as AdamW's."""

    def __init__(
        self, params: Iterable[Any], *, lr: float = 0.0, weight_decay: float = 0.05, momentum: float = 0.95
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(parameter.shape, []).append(parameter)
            for parameters in alike.values():
                self._step(parameters, group)

    def _step(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """Update matrices of one shape."""
        updates = orthogonalize(torch.stack([self._momentum(p, group["momentum"]) for p in parameters]))
        rate = group["lr"] * 0.2 * math.sqrt(max(parameters[0].shape))
        for parameter, update in zip(parameters, updates, strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)

    def _momentum(self, parameter: Tensor, keep: float) -> Tensor:
        """Nesterov's."""
        assert parameter.grad is not None
        places = self.state[parameter]
        if "momentum_buffer" not in places:
            places["momentum_buffer"] = torch.zeros_like(parameter)
        momentum: Tensor = places["momentum_buffer"]
        momentum.lerp_(parameter.grad, 1 - keep)
        return parameter.grad.lerp(momentum, keep)


def orthogonalize(matrices: Float[Tensor, "k rows columns"]) -> Float[Tensor, "k rows columns"]:
    """Bring all singular values of each matrix near 1 (0.7 to 1.2, which is close enough); zero stays zero."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    if x.device.type != "cpu" or multiplies_bfloat16():
        x = x.bfloat16()
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)
