"""Parameter groups, AdamW or Muon, the schedule of the learning rate, and an average of the weights over time."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from cut3r.training.muon import Muon


class OptimKind(Enum):
    adamw = "adamw"
    muon = "muon"  # for the matrices inside blocks; AdamW for the rest


class Schedule(Enum):
    """What the learning rate does after its linear warm-up."""

    cosine = "cosine"  # falls from the first to the last step
    wsd = "wsd"  # warm-up, stable, decay: constant, and linear to the end over the last `decay_share`


class Unit(Enum):
    """What the length of a training is counted in."""

    epochs = "epochs"
    steps = "steps"
    samples = "samples"
    minutes = "minutes"


@dataclass
class OptimConfig:
    """AdamW (or Muon) and a schedule of its rate: a linear warm-up over `warmup_epochs`, then a decay until `epochs`.

    One of `steps`, `samples` (of all processes) and `minutes` replaces `epochs`: the training ends after so many,
    whatever epoch that is in, and has annealed by then; `warmup` is its share. Minutes are those of all starts of the
    run together. (`run.max_minutes` and `run.max_steps` interrupt a training instead, in the middle of its schedule.)

    `accumulate` iterations make one optimizer step. `decay_tokens` False leaves learned tokens (pose token, initial
    state, memory slots, place holders) out of the weight decay, as norms and biases are. `ema_decay` keeps an
    exponential average of the weights beside them, which is then validated and exported. An iteration whose loss is
    not finite or above `max_loss`, or whose gradient is not finite, is not learned from; `max_bad_steps` of them in a
    row end the training. `fused` updates all weights in one kernel.
    """

    kind: OptimKind = OptimKind.adamw
    lr: float = 1e-4
    min_lr: float = 1e-6
    epochs: int = 100
    warmup_epochs: float = 10.0
    schedule: Schedule = Schedule.cosine
    decay_share: float = 0.2
    steps: int | None = None
    samples: int | None = None
    minutes: float | None = None
    warmup: float = 0.05
    weight_decay: float = 0.05
    decay_tokens: bool = True
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    fused: bool = True
    encoder_lr_scale: float = 1.0
    clip_norm: float = 1.0
    accumulate: int = 1
    ema_decay: float | None = None
    max_loss: float = 1e4
    max_bad_steps: int = 20

    def __post_init__(self) -> None:
        self.betas = (self.betas[0], self.betas[1])  # a list when it comes from a file
        if self.epochs < 1 or self.accumulate < 1 or self.max_bad_steps < 1:
            raise ValueError(
                f"epochs {self.epochs}, accumulate {self.accumulate} and max_bad_steps {self.max_bad_steps} "
                "must be at least 1"
            )
        if not 0 <= self.warmup_epochs < self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs} must be between 0 and epochs {self.epochs}")
        lengths = [length for length in (self.steps, self.samples, self.minutes) if length is not None]
        if len(lengths) > 1 or any(length <= 0 for length in lengths):
            raise ValueError(
                f"steps {self.steps}, samples {self.samples} and minutes {self.minutes} each are a length of the "
                "training; give at most one, above 0"
            )
        if not 0 <= self.warmup < 1 or not 0 < self.decay_share <= 1:
            raise ValueError(
                f"warmup {self.warmup} and decay_share {self.decay_share} are shares of the training; give numbers "
                "between 0 and 1"
            )
        if not 0 <= self.min_lr <= self.lr:
            raise ValueError(f"min_lr {self.min_lr} must be between 0 and lr {self.lr}")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"ema_decay {self.ema_decay} must be between 0 and 1, such as 0.999; null for none")

    @property
    def unit(self) -> Unit:
        given = {Unit.steps: self.steps, Unit.samples: self.samples, Unit.minutes: self.minutes}
        return next((unit for unit, length in given.items() if length is not None), Unit.epochs)

    @property
    def length(self) -> float:
        """Of the training, in its unit."""
        return float(getattr(self, self.unit.value))

    @property
    def warmup_length(self) -> float:
        """In the unit of the length."""
        return self.warmup_epochs if self.unit is Unit.epochs else self.warmup * self.length


def learning_rate(done: float, config: OptimConfig) -> float:
    """Return the rate when so much of the training is done, in its unit. The very first step has rate 0."""
    length, warmup = config.length, config.warmup_length
    if done < warmup:
        return config.lr * done / warmup
    if config.schedule is Schedule.wsd:
        left = max(0.0, 1 - done / length) / config.decay_share
        return config.min_lr + (config.lr - config.min_lr) * min(1.0, left)
    progress = min(1.0, (done - warmup) / (length - warmup))
    return config.min_lr + (config.lr - config.min_lr) * (1 + math.cos(math.pi * progress)) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]


def parameter_groups(model: nn.Module, config: OptimConfig) -> list[dict[str, Any]]:
    """Sort the trainable parameters into at most four groups: encoder blocks or not, decayed or not.

    Norms and biases are not decayed; tokens are, unless the config says otherwise.
    """
    groups: dict[tuple[bool, bool], list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (is_decayed(name, parameter, config.decay_tokens), _in_encoder_block(name))
            groups.setdefault(key, []).append((name, parameter))
    return [
        {
            "params": [parameter for _, parameter in members],
            "names": [name for name, _ in members],
            "weight_decay": config.weight_decay if decayed else 0.0,
            "lr_scale": config.encoder_lr_scale if in_encoder else 1.0,
        }
        for (decayed, in_encoder), members in groups.items()
    ]


def is_decayed(name: str, parameter: Tensor, decay_tokens: bool) -> bool:
    is_token = not name.endswith((".weight", ".bias"))
    return parameter.ndim > 1 and not name.endswith(".bias") and (decay_tokens or not is_token)


def _in_encoder_block(name: str) -> bool:
    return "encoder.image.blocks." in name or "encoder.rays.blocks." in name


def make_optimizer(model: nn.Module, config: OptimConfig, beside: nn.Module | None = None) -> torch.optim.Optimizer:
    """Build the optimizer.

    Args:
        beside: Weights that are trained with the network, without decay.

    Raises:
        ValueError: Everything is frozen, or Muon is to work on matrices of which each process has a part.
    """
    groups = parameter_groups(model, config)
    if not groups:
        raise ValueError("no parameter is trainable; change `run.freeze` or `run.train_only`")
    if beside is not None and (others := dict(beside.named_parameters())):
        groups.append({"params": [*others.values()], "names": [*others], "weight_decay": 0.0, "lr_scale": 1.0})
    matrices, rest = ([], groups) if config.kind is OptimKind.adamw else _sort_out_matrices(groups)
    if not matrices:
        return torch.optim.AdamW(rest, lr=0.0, betas=config.betas, eps=config.eps, fused=config.fused)
    parts: list[torch.optim.Optimizer] = [Muon(matrices)]
    if rest:
        parts.append(torch.optim.AdamW(rest, lr=0.0, betas=config.betas, eps=config.eps, fused=config.fused))
    return Together(parts)


class Together(torch.optim.Optimizer):
    """Several optimizers that look like one: they share `param_groups` and `state`."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        # the dictionaries themselves become groups of this one, so a rate that is set here holds there
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.parts = parts
        for part in parts:
            part.state = self.state

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()


def _sort_out_matrices(groups: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Split groups into those of the matrices inside blocks, and all the rest."""
    sorted_out: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for group in groups:
        members = list(zip(group["names"], group["params"], strict=True))
        for in_block, kind in zip((True, False), sorted_out, strict=True):
            chosen = [(name, p) for name, p in members if _is_matrix_in_block(name, p) is in_block]
            if chosen:
                kind.append(group | {"names": [name for name, _ in chosen], "params": [p for _, p in chosen]})
    return sorted_out


def _is_matrix_in_block(name: str, parameter: Tensor) -> bool:
    if parameter.ndim != 2 or not ("blocks." in name or "modulated." in name):
        return False
    if isinstance(parameter, DTensor):
        raise ValueError("optim.kind=muon needs whole matrices, which run.sharding=fsdp cuts up; use ddp, or adamw")
    return True


class WeightAverage:
    """An exponential average of the trainable weights, by name: `weights` = decay * weights + (1 - decay) * new.

    The decay begins at 0.2 and grows to its value, so that the first, random weights are soon forgotten.
    """

    def __init__(self, parameters: Iterable[tuple[str, Tensor]], decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in parameters}

    @torch.no_grad()
    def update(self, parameters: Iterable[tuple[str, Tensor]], *, step: int) -> None:
        """Take in the weights after optimizer step number `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in parameters:
            self.weights[name].lerp_(value.detach(), 1 - decay)

    @torch.no_grad()
    def swap(self, parameters: Iterable[tuple[str, Tensor]]) -> None:
        """Exchange the average and the weights, in place; twice is nothing."""
        for name, value in parameters:
            kept = value.detach().clone()
            value.detach().copy_(self.weights[name])
            self.weights[name].copy_(kept)
