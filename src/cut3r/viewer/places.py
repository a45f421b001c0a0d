"""Where chunks stand in the world, and frames in their chunk: all of a view that can change after it was shown.

The points of a frame are kept in its camera, in the units of its chunk. Two similarities lead from there to the world,
4x4 matrices with the scale inside: `chunk_from_frame`, then `world_from_chunk`.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Float64

from cut3r.geometry.registration import Similarity
from cut3r.inference.chunk_points import checked_place, no_such_chunk
from cut3r.viewer.view import ShownView

AS_ADDED = "as added"  # the placement of frames when none was offered
MOVED = 1e-6  # metres; less is rounding


@dataclass(frozen=True)
class ChunkStand:
    """`world_from_chunk` is where a chunk is shown, `told` what its latest frame said, `came` what its first one said;
    those whom nobody has placed, but for the first chunk of the stream, are `apart`: worlds of their own."""

    world_from_chunk: Float64[np.ndarray, "4 4"]
    told: Similarity
    apart: bool
    came: Float64[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))

    @property
    def moved(self) -> float:
        """Metres between where the chunk came and where it stands, of its first camera or of a point a metre off."""
        step = self.world_from_chunk - self.came
        return float(max(np.linalg.norm(step[:3, 3]), np.linalg.norm(step[:3, :3], 2)))


@dataclass(frozen=True)
class Placement:
    """All places at one moment, with frames where the placement `poses` has them; `changes` counts what came before."""

    chunks: Mapping[int, ChunkStand] = field(default_factory=dict)
    poses: str = AS_ADDED
    offered: Float64[np.ndarray, "n 4 4"] | None = None
    changes: int = 0
    corrected: bool = True

    @property
    def version(self) -> tuple[int, str, bool]:
        """Equal versions are equal places."""
        return self.changes, self.poses, self.corrected

    @property
    def corrections(self) -> dict[int, float]:
        """Which chunks stand elsewhere than where they came, and by how many metres."""
        return {number: stand.moved for number, stand in self.chunks.items() if stand.moved > MOVED and not stand.apart}

    def world(self, chunk: int) -> int:
        """The chunk that is the world of this one: the first of the stream, or itself. Only chunks of one world can be
        shown beside each other."""
        return chunk if self.chunks[chunk].apart else next(iter(self.chunks))

    def chunk_from_frame(self, frame: ShownView) -> Float64[np.ndarray, "4 4"]:
        """A frame of the stream in its chunk. Frames later than those of an offered placement stand as they came."""
        given = self.offered
        return frame.chunk_from_cam if given is None or frame.position >= len(given) else given[frame.position]

    def world_from_frame(self, frame: ShownView) -> Float64[np.ndarray, "4 4"]:
        """A frame of the stream in the world, scale inside."""
        return self.chunks[frame.chunk].world_from_chunk @ self.chunk_from_frame(frame)

    def world_from_answer(self, answer: ShownView) -> Float64[np.ndarray, "4 4"]:
        """A query's answer in the world: it moves with its chunk, and is in no offered placement."""
        return self.chunks[answer.chunk].world_from_chunk @ answer.chunk_from_cam


class Places:
    """Written by whoever adds frames and moves chunks, read by the drawing thread and by queries."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = Placement()
        self._offers: dict[str, Float64[np.ndarray, "n 4 4"] | None] = {}

    def follow(self, chunk: int, world_from_chunk: Similarity | None) -> None:
        """Take in what a frame says of its chunk; None says nothing, so that a place given by `move` stays."""
        with self._lock:
            stand = self._now.chunks.get(chunk)
            told = Similarity.identity() if world_from_chunk is None else world_from_chunk
            if world_from_chunk is not None:
                place = checked_place(chunk, world_from_chunk)
                came = place if stand is None or stand.apart else stand.came
                now = ChunkStand(place, told, apart=False, came=came)
            elif stand is None:
                now = ChunkStand(np.eye(4), told, apart=bool(self._now.chunks))
            else:
                now = replace(stand, told=told)
            self._set(chunk, now)

    def move(self, chunk: int, world_from_chunk: Similarity) -> None:
        """Put a chunk somewhere else.

        Raises:
            KeyError: There is no such chunk.
            ValueError: Not a similarity.
        """
        with self._lock:
            if chunk not in self._now.chunks:
                raise no_such_chunk(chunk, list(self._now.chunks))
            place = checked_place(chunk, world_from_chunk)
            stand = self._now.chunks[chunk]
            came = place if stand.apart else stand.came  # who had no place has not been moved
            self._set(chunk, replace(stand, world_from_chunk=place, apart=False, came=came))

    def _set(self, chunk: int, now: ChunkStand) -> None:
        before = self._now.chunks.get(chunk)
        stays = (
            before is not None
            and before.apart == now.apart
            and np.array_equal(before.world_from_chunk, now.world_from_chunk)
        )
        chunks = {**self._now.chunks, chunk: now}  # a new value: others may be looking at the old one
        self._now = replace(self._now, chunks=chunks, changes=self._now.changes + (not stays))

    def offer(self, placements: Mapping[str, Similarity | None]) -> None:
        """Set the placements of frames that there are, by name; None is as the frames came.

        Raises:
            ValueError: Fewer than two names, or similarities that are not finite, positive ones of one batch axis.
        """
        if len(placements) < 2:
            raise ValueError(f"placements {list(placements)} leave no choice; offer two or more")
        offers = {name: None if given is None else _matrices(name, given) for name, given in placements.items()}
        with self._lock:
            self._offers = offers
            self._now = replace(self._now, changes=self._now.changes + 1)

    def snapshot(self, poses: str = AS_ADDED, *, corrected: bool = True) -> Placement:
        """All places now, with frames as the placement of this name has them; as they came if there is none.

        Args:
            corrected: Else chunks stand where their first frames said, before anything was moved.
        """
        with self._lock:
            now = replace(self._now, poses=poses, offered=self._offers.get(poses), corrected=corrected)
        if corrected:
            return now
        return replace(now, chunks={k: replace(s, world_from_chunk=s.came) for k, s in now.chunks.items()})

    @property
    def offers(self) -> list[str]:
        """The names of the placements that were offered."""
        with self._lock:
            return list(self._offers)


def _matrices(name: str, given: Similarity) -> Float64[np.ndarray, "n 4 4"]:
    matrices: np.ndarray = given.matrix().double().numpy()
    if matrices.ndim != 3 or not np.isfinite(matrices).all() or not bool((given.scale > 0).all()):
        raise ValueError(
            f"the placement '{name}' of shape {matrices.shape[:-2]} must be one finite similarity of positive scale "
            "for each frame, in the frame of its chunk"
        )
    return matrices


def scale_of(similarity: Float[np.ndarray, "4 4"]) -> float:
    """The scale inside."""
    return float(np.cbrt(np.linalg.det(similarity[:3, :3])))


def as_similarity(matrix: Float64[np.ndarray, "4 4"]) -> Similarity:
    return Similarity.from_matrix(torch.from_numpy(matrix))
