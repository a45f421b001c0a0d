"""What a dataset knows of one place: its frames in order, which of them see the same, and how to make samples of it.

Positions count the frames of a scene from 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Graph:
    """Which frames of a scene see the same, with weights above 0: the neighbours of frame i are
    `neighbours[starts[i] : starts[i + 1]]` (compressed sparse rows)."""

    starts: Int[np.ndarray, "starts"]
    neighbours: Int[np.ndarray, "m"]
    weights: Float[np.ndarray, "m"]

    @classmethod
    def from_pairs(cls, count: int, pairs: Float[np.ndarray, "m 3"]) -> "Graph":
        """Sort rows (position, position of a neighbour, weight) by the first; each frame keeps the order of its rows.

        Raises:
            ValueError: A position that is not in [0, count).
        """
        rows = np.asarray(pairs, np.float64).reshape(-1, 3)
        ends = rows[:, :2].astype(np.int64)
        if len(rows) and not (ends.min() >= 0 and ends.max() < count):
            raise ValueError(f"pairs name frame {ends.max()} of a scene of {count} frames, or one below 0")
        order = np.argsort(ends[:, 0], kind="stable")
        degrees = np.bincount(ends[:, 0], minlength=count)
        starts = np.concatenate(([0], np.cumsum(degrees))).astype(np.int64)
        return cls(starts, ends[order, 1].astype(np.int32), rows[order, 2])

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def degrees(self) -> Int[np.ndarray, "n"]:
        return np.diff(self.starts)

    def of(self, position: int) -> tuple[Int[np.ndarray, "k"], Float[np.ndarray, "k"]]:
        """Give the neighbours of a frame and their weights."""
        span = slice(int(self.starts[position]), int(self.starts[position + 1]))
        return self.neighbours[span], self.weights[span]


@dataclass(frozen=True)
class Scene:
    """The frames that were taken of one place, in order.

    `name` appears in labels; `folder` is where the files lie below the dataset's root, if not in `name`. `split` is the
    part of the dataset that the scene belongs to. `policy` names one of the dataset's `policies`; "" is its usual one.
    `facts` are what the index knows beside (JSON), and fill in templates of paths; `camera_only` among them goes before
    what the dataset says. `graph` says which frames see the
    same. `anchors` are the positions that lead a sample of the graph, in order; None: all. `tracks` tells, for each
    frame, which camera's path it is on, for scenes that several have filmed; None: one path.
    """

    name: str
    frames: Sequence[str]
    folder: str = ""
    split: str = ""
    policy: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    graph: Graph | None = None
    anchors: Sequence[int] | None = None
    tracks: Sequence[int] | None = None

    @property
    def path(self) -> str:
        """Where its files lie, below the dataset's root."""
        return self.folder or self.name

    def track(self, number: int) -> list[int]:
        """List the positions of one camera's path, in order."""
        if self.tracks is None:
            return list(range(len(self.frames)))
        return np.flatnonzero(np.asarray(self.tracks) == number).tolist()
