"""The recorded streams of tests/golden/long, and rules played over them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cut3r.model.encoder import ViewInput
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs, Prediction
from cut3r.model.state import StreamState
from cut3r.model.update import UpdateRule, Writing
from cut3r.rules import create
from cut3r.rules.memix import MeMix

FOLDER = Path(__file__).parents[1] / "golden" / "long"
FILES = sorted(path.stem for path in FOLDER.glob("*_*.npz"))
TOKENS = 30  # of the recorded networks' states


@cache
def recording(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def facts(name: str) -> dict[str, Any]:
    return json.loads(str(recording(name)["meta"]))


def rule_of_file(name: str) -> UpdateRule:
    """The rule that a file was recorded with, quirks included, from what the file says of itself."""
    told, kind = facts(name), name.split("_")[0]
    constants = dict(told["constants"])
    # ttsa3r and memix of the published code read the pose query from the memory after a reset
    published = (
        {"published_reset": told["after_reset"]["pose_query"] == "memory"} if kind in ("ttsa3r", "memix") else {}
    )
    if kind == "cut3r":  # recorded where a reset starts a new stream; with overwriting itself it does not
        return MeMix(share=1.0)
    if kind != "memix":
        return create(kind, **constants, **published)
    blocks = constants.get("blocks", 0)
    return MeMix(
        inner=create(constants["other"]),
        share=constants["k"] / (blocks or TOKENS),
        blocks=blocks,
        protected=constants.get("protected", -1),
        mask_first_view=told["mask_first_view"],
        **published,
    )


def views_of(stream: str) -> list[ViewInput]:
    """The views that were fed, with their flags."""
    data = recording("streams")
    rgb, update = data[f"{stream}_rgb"], data[f"{stream}_update"]
    source = data[f"{stream}_source"] if f"{stream}_source" in data else np.arange(rgb.shape[1])
    flags = data.get(f"{stream}_flag", np.zeros(len(source), bool))
    return [
        ViewInput(
            image=(torch.from_numpy(rgb[:, frame]).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5,
            update=torch.from_numpy(update[frame]),
            reset=torch.full((len(rgb),), bool(flag)),
        )
        for frame, flag in zip(source, flags, strict=True)
    ]


def stream_of(name: str) -> str:
    return facts(name)["stream"]


@torch.inference_mode()
def play(model: Cut3r, rule: UpdateRule, views: list[ViewInput]) -> list[StreamState]:
    return model.rollout(views, outputs=Outputs.none(), combine="stream", keep_states=True, rule=rule).states


@torch.inference_mode()
def play_whole(
    model: Cut3r, rule: UpdateRule, views: list[ViewInput], outputs: Outputs
) -> Iterator[tuple[Prediction, Writing | None, torch.Tensor | None, StreamState]]:
    """Of each view: the prediction, what the rule saw and answered (None where nothing was written), the state."""
    state = model.initial_state(views[0].batch_size, rule)
    for view in views:
        with watched(rule) as seen:
            prediction, state = model.step(state, view, model.encode(view), outputs, rule)
        writing, gate = seen[-1] if seen else (None, None)
        yield prediction, writing, gate, state


@contextmanager
def watched(rule: UpdateRule) -> Iterator[list[tuple[Writing, torch.Tensor | None]]]:
    """Collect what a rule is asked, and its gates."""
    seen: list[tuple[Writing, torch.Tensor | None]] = []
    gate: Callable = type(rule).gate

    def watching(self: UpdateRule, writing: Writing) -> tuple[torch.Tensor | None, dict]:
        answer = gate(self, writing)
        if self is rule:
            seen.append((writing, answer[0]))
        return answer

    type(rule).gate = watching
    try:
        yield seen
    finally:
        type(rule).gate = gate


def pictures(count: int, *, samples: int = 1, size: tuple[int, int] = (32, 48)) -> list[ViewInput]:
    draw = torch.Generator().manual_seed(3)
    return [ViewInput(image=torch.rand(samples, 3, *size, generator=draw) * 2 - 1) for _ in range(count)]
