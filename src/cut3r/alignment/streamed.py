"""What a stream has said, as an alignment takes it: its frames become nodes, its neighbours pairs.

A chunk of a stream is a star: all of its frames stand in the camera of the first one. So each frame is paired with the
next ones of its chunk, as with the others of a star; chunks that somebody has put in their places in the world go on
with each other. Frames that two chunks have in common tie them together. Where a chunk stands after all moves holds for
all of its frames.

Pairs of one stretch never contradict each other, for all of them are the word of one stream. What can correct it comes
from outside: another chunk with the same frames, a loop, known cameras.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Float16
from torch import Tensor

from cut3r.alignment.align_config import ROOM_FOR_LOOPS, AlignConfig
from cut3r.alignment.given_depth import metres_per_unit, with_depth
from cut3r.alignment.graphs import Pair
from cut3r.alignment.pairs import Predictions, compact, unit_ratio
from cut3r.alignment.store import PredictionStore, remove_predictions
from cut3r.alignment.taken import Taken, depth_to_image
from cut3r.geometry.poses import invert, transform
from cut3r.geometry.registration import Similarity
from cut3r.inference.preprocess import PixelMap
from cut3r.inference.view import View
from cut3r.io.frame import Frame

logger = logging.getLogger(__name__)

SLACK = 0.02  # of the usual distance: as far as the stream may be off from one frame to the next
FEWEST = 3  # points that say where something is
NAMED = 5  # frames that a message names
IN_WORLD = -1  # the stretch of all chunks that have been put in their places


@dataclass(frozen=True)
class Sight:
    """A frame in one chunk of the stream: the node that it is, where it stood, and what was seen of it.

    In the frame and the units of the chunk. `unit` is how much larger the points of the node are where they were seen
    first, in the units of that chunk.
    """

    node: int
    chunk: int
    chunk_from_cam: Float[Tensor, "4 4"]
    points: Float16[Tensor, "h w 3"]
    conf: Float16[Tensor, "h w"]
    unit: float


@dataclass
class Streamed:
    """Frames as they came, each once; `places` are the chunks that somebody has put into the world.

    `left_out`: frames without a finite camera or without points, about which a stream said nothing.
    """

    frames: list[Frame] = field(default_factory=list)
    pixel_maps: list[PixelMap] = field(default_factory=list)
    counts: list[Tensor] = field(default_factory=list)
    places: dict[int, Similarity] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    intrinsics: dict[int, Tensor] = field(default_factory=dict)
    world_from_cam: dict[int, Tensor] = field(default_factory=dict)
    depth: dict[int, Tensor] = field(default_factory=dict)
    _sights: list[Sight] = field(default_factory=list)
    _nodes: dict[str, Sight] = field(default_factory=dict)  # the first of each, in their order

    def add(self, view: View, known: Frame | None = None, *, key: str | None = None) -> None:
        """Take in the next view.

        Args:
            known: The frame as it was read, for what is known of its camera.
            key: Two views of one key are one frame; by default those of the same picture, name and place in the source.

        Raises:
            ValueError: It has another shape than those before.
        """
        if self.frames and view.image.shape != self.frames[0].rgb.shape:
            h, w = self.frames[0].rgb.shape[:2]
            raise ValueError(
                f"{view.name} has {view.image.shape[1]}x{view.image.shape[0]} pixels for the network, but "
                f"{self.frames[0].name} {w}x{h}; frames that are aligned together need one shape"
            )
        self._note_places(view)
        counts = view.valid
        if known is not None and known.mask is not None:
            counts = counts & view.pixel_map.mask_to_image(known.mask)
        points, conf = compact(view.points, view.confidence)
        conf = conf.where(counts, 0.0)
        if not view.camera_is_finite or int((conf > 0).sum()) < FEWEST:
            self.left_out.append(view.name)
            return
        key = _key(view) if key is None else key
        if key in self._nodes:
            first = self._nodes[key]
            node = first.node
            unit = unit_ratio(first.points[..., 2] * (first.conf > 0), points[..., 2] * (conf > 0))
        else:
            node, unit = len(self.frames), 1.0
            self.frames.append(Frame(view.image, view.index, view.time_s, view.name, view.source))
            self.pixel_maps.append(view.pixel_map)
            self.counts.append(counts)
            self._note_known(node, view.pixel_map, known)
        sight = Sight(node, view.chunk, view.chunk_from_cam.double(), points, conf, unit)
        self._sights.append(sight)
        self._nodes.setdefault(key, sight)

    def move(self, places: Mapping[int, Similarity]) -> None:
        """Put chunks elsewhere, by their numbers, as when a loop closes."""
        self.places.update(places)

    def _note_places(self, view: View) -> None:
        if not self.places:  # the first chunk is the world, until somebody moves it
            self.places[view.chunk] = Similarity.identity()
        if view.world_from_chunk is not None:
            self.places[view.chunk] = view.world_from_chunk
        self.move(view.moves)

    def _note_known(self, node: int, pixel_map: PixelMap, known: Frame | None) -> None:
        if known is not None and known.intrinsics is not None:
            self.intrinsics[node] = pixel_map.intrinsics_to_image(torch.as_tensor(known.intrinsics).float())
        if known is not None and known.world_from_cam is not None:
            self.world_from_cam[node] = torch.as_tensor(known.world_from_cam).double()
        if known is not None and known.depth is not None:
            self.depth[node] = depth_to_image(known.depth, pixel_map)

    def taken(self) -> Taken:
        """The frames as an alignment takes them.

        Raises:
            ValueError: There are none.
        """
        if not self.frames:
            raise ValueError(
                "there are no frames with a finite camera and points to align"
                + (f"; {len(self.left_out)} have none" if self.left_out else "; give at least one")
            )
        if self.left_out:
            more = len(self.left_out) - NAMED
            said = ", ".join(self.left_out[:NAMED]) + (f" and {more} more" if more > 0 else "")
            logger.warning(
                "%d frames have no finite camera or no points, and are left out: %s", len(self.left_out), said
            )
        images = torch.stack([torch.from_numpy(frame.rgb) for frame in self.frames])
        known = self.intrinsics, self.world_from_cam, self.depth
        return Taken(self.frames, images, self.pixel_maps, torch.stack(self.counts), *known)

    def predictions(self, taken: Taken, config: AlignConfig, folder: Path | None = None) -> Predictions:
        """The pairs of each frame with the next ones of its stretch, as many as a window is wide.

        Args:
            folder: Where they lie instead of in memory; what an earlier alignment left there is thrown away.
        """
        if folder is not None:
            remove_predictions(folder)
        paired = self._paired(config.width)
        size = (taken.images.shape[1], taken.images.shape[2])
        store = PredictionStore(len(taken), list(paired), size, room=int(ROOM_FOR_LOOPS * len(taken)), folder=folder)
        alone = list(self._nodes.values())
        depths = {sight.node: self._scale(sight) * sight.points[..., 2].float() for sight in alone}
        unit_m = metres_per_unit(self.depth, depths)  # of the world as the stream has it
        for sight in alone:
            points, _ = compact(self._points(sight, unit_m), sight.conf)
            store.put_alone(sight.node, points, sight.conf)
        for pair, (first, second) in paired.items():
            first_from_second = invert(self._world_from_cam(first)) @ self._world_from_cam(second)
            seen = transform(first_from_second.float(), self._points(second, unit_m))
            unit = first.unit * self._scale(alone[first.node]) / self._scale(first)
            points, _ = compact(unit * seen, second.conf)
            store.put_pair(pair, points, second.conf)
        return store.predictions(taken.images)

    def _points(self, sight: Sight, unit_m: float) -> Float[Tensor, "h w 3"]:
        """What was seen, in the unit of the world; where depth is known, that."""
        points, given = self._scale(sight) * sight.points.float(), self.depth.get(sight.node)
        return points if given is None else with_depth(points, given / unit_m)

    def _scale(self, sight: Sight) -> float:
        return float(self.places[sight.chunk].scale) if sight.chunk in self.places else 1.0

    def _world_from_cam(self, sight: Sight) -> Float[Tensor, "4 4"]:
        """Of the world, or of the world of its own that a chunk has which nobody has placed."""
        place = self.places.get(sight.chunk)
        return sight.chunk_from_cam if place is None else place.place(sight.chunk_from_cam)

    def _stretches(self) -> Iterable[list[Sight]]:
        """Runs of frames in one world: all chunks that have been placed, and each of the others."""
        runs: dict[int, list[Sight]] = {}
        for sight in self._sights:
            runs.setdefault(IN_WORLD if sight.chunk in self.places else sight.chunk, []).append(sight)
        return runs.values()

    def _paired(self, width: int) -> dict[Pair, tuple[Sight, Sight]]:
        """Each pair once in each direction, at most: the second stretch that has it says it the other way around."""
        paired: dict[Pair, tuple[Sight, Sight]] = {}
        for sights in self._stretches():
            for k, first in enumerate(sights):
                for second in sights[k + 1 : k + 1 + width]:
                    if second.node == first.node:
                        continue
                    if (first.node, second.node) not in paired:
                        paired[first.node, second.node] = (first, second)
                    else:
                        paired.setdefault((second.node, first.node), (second, first))
        return paired


def _key(view: View) -> str:
    image = hashlib.sha256(view.image.tobytes()).hexdigest()  # names alone need not differ
    return f"{view.index} {view.name} {image}"


def collect(views: Iterable[tuple[View, Frame | None]], moves: Mapping[int, Similarity] | None = None) -> Streamed:
    """Take in all views of a stream, 10 bytes per pixel.

    Args:
        moves: Chunks that stand elsewhere after the last view.
    """
    streamed = Streamed()
    for view, known in views:
        streamed.add(view, known)
    streamed.move(moves or {})
    return streamed
