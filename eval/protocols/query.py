"""Unseen views: python -m eval query dataset=rgbd root=recordings weights=512-dpt.

Some frames of a sequence are never shown. After the stream their true cameras are asked of the state, and the answers,
pictures, depth, and where the system believes the camera stands, are compared with what the frames really show. The
cameras that are asked are in the frame of the first one, in true metres.
"""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8

from cut3r.geometry.poses import invert, rotation_angle
from cut3r.io.frames import Frame
from cut3r.io.images import read_image, resize
from cut3r.metrics.depth_alignment import DepthAlignment, ScaleShift
from cut3r.metrics.depth_scoring import DepthScorer, DepthScoring
from cut3r.metrics.pictures import psnr, ssim
from eval.protocols.base import EvaluationProtocol, Item, Look, Metrics, NotScoredError, Score
from eval.protocols.depth import depth_look, item
from eval.protocols.depth_frames import zero_is_none
from eval.sequences.sequence import Sequence
from eval.systems.base import AskedView, Bookmark, FramePrediction, System, Wanted
from eval.systems.saved import Predictions

HOLD_OUT = 5  # one of so many frames is not shown
BEST_PSNR_DB = 100.0  # of a picture that is right to the last bit, whose PSNR is infinite
LOOKS = 3  # views in the report
LOOK_WIDTH = 256  # pixels


class Query(EvaluationProtocol):
    name: ClassVar[str] = "query"
    wanted: ClassVar[Wanted] = Wanted(depth=True, cameras=True, whole_picture=True)

    def __init__(self, hold_out: int = HOLD_OUT) -> None:
        self.hold_out = hold_out

    def identity(self) -> dict[str, Any]:
        return {"hold_out": self.hold_out}

    def settings(self) -> dict[str, Any]:
        return {}

    def seen(self, sequence: Sequence) -> list[int]:
        """Number the frames that are shown."""
        held = set(self.held_out(sequence))
        return [number for number in range(len(sequence)) if number not in held]

    def held_out(self, sequence: Sequence) -> list[int]:
        """Number the frames that are not shown: the middle one of each `hold_out` successive ones.

        Raises:
            NotScoredError: The sequence is too short.
        """
        numbers = list(range(self.hold_out // 2, len(sequence), self.hold_out))
        if self.hold_out < 2 or not numbers:
            raise NotScoredError(
                f"{len(sequence)} frames of {sequence.name} are too few to hold out one of {self.hold_out}"
            )
        return numbers

    def order(self, sequence: Sequence) -> list[int]:
        return [*self.seen(sequence), *self.held_out(sequence)]

    def predict(
        self,
        system: System,
        sequence: Sequence,
        read: Callable[[Iterator[Frame]], Iterator[Frame]],
        *,
        part: range | None = None,
        bookmark: Bookmark | None = None,
    ) -> Iterator[FramePrediction]:
        """Show the frames and ask; an interrupted stream begins again, because the questions need all of its path."""
        assert sequence.world_from_cam is not None
        answer = getattr(system, "answer", None)
        if answer is None:
            raise ValueError(
                f"{type(system).__name__} cannot be asked for unseen views; query needs `answer` (eval.systems.base)"
            )
        seen = self.seen(sequence)
        first_from_cam = in_first(sequence)

        def frames() -> Iterator[Frame]:
            return read(self.frame(sequence, number) for number in seen)

        asked = [self.asked(sequence, first_from_cam, number) for number in self.held_out(sequence)]
        yield from answer(frames, first_from_cam[seen], asked)

    def score(self, sequence: Sequence, predictions: Predictions) -> tuple[Score, Look]:
        assert sequence.read_depth is not None and sequence.intrinsics is not None
        known = sequence.known_cameras()
        held = [number for number in self.held_out(sequence) if known[number]]
        if not held:
            raise NotScoredError(f"no held-out camera of {sequence.name} is known, so there was nothing to ask for")
        cameras, asked = predictions.cameras(), in_first(sequence)
        pictures = [compare(predictions.picture(number), sequence, number) for number in held]
        places = [distance(cameras[number], asked[number]) for number in held]
        common: Metrics = {
            name: float(np.mean([each[name] for each in rows])) for rows in (pictures, places) for name in rows[0]
        }
        groups: dict[str, list[Item]] = {}

        def given(number: int) -> Float[np.ndarray, "h w"]:
            return zero_is_none(predictions.depth(number))

        with DepthScorer(DepthScoring()) as scorer:
            for number in held:
                scorer.add(given(number), sequence.read_depth(number))
            for alignment in (DepthAlignment.scale, DepthAlignment.metric):
                fit = scorer.fit(alignment) if len(scorer.pairs) else ScaleShift()
                depth = item(sequence.name, scorer.score(fit), parity=False)
                groups[alignment.value] = [Item(sequence.name, {**common, **depth.metrics})]
                if alignment is DepthAlignment.scale:
                    shown = _pictured(held)
                    look = depth_look(sequence, given, dict.fromkeys(shown, fit), scorer.scoring, shown)
        for number in _pictured(held):
            look[f"view_{number}"] = _small(predictions.picture(number))
        notes = {
            "held_out": len(held),
            "unknown_cameras": int((~known).sum()),
            "pictured": "scale",
            "views": [
                {"frame": sequence.stems[number], **picture, **place}
                for number, picture, place in zip(held, pictures, places, strict=True)
            ],
        }
        return Score(groups, notes), look

    def asked(self, sequence: Sequence, first_from_cam: Float64[np.ndarray, "v 4 4"], number: int) -> AskedView:
        """Make the question for a frame's camera, in pixels of its true depth."""
        assert sequence.read_depth is not None and sequence.intrinsics is not None
        h, w = sequence.read_depth(number).shape
        return AskedView(first_from_cam[number], sequence.intrinsics[number], (h, w))


def in_first(sequence: Sequence) -> Float64[np.ndarray, "v 4 4"]:
    """Give the true cameras in the frame of the first one, which is always shown.

    Raises:
        NotScoredError: It is not known.
    """
    assert sequence.world_from_cam is not None
    if not sequence.known_cameras()[0]:
        raise NotScoredError(f"the first camera of {sequence.name} is not known, and its frame is the world")
    cameras = torch.from_numpy(sequence.world_from_cam)
    return (invert(cameras[0]) @ cameras).numpy()


def compare(picture: UInt8[np.ndarray, "h w 3"], sequence: Sequence, number: int) -> dict[str, float]:
    """Compare a picture with the true one, which is brought to its size."""
    true = resize(read_image(sequence.images[number]), picture.shape[:2])
    said, truth = (torch.from_numpy(each).double() / 255 for each in (picture, true))
    return {"psnr": min(BEST_PSNR_DB, float(psnr(said, truth))), "ssim": float(ssim(said, truth))}


def distance(believed: Float[np.ndarray, "4 4"], asked: Float[np.ndarray, "4 4"]) -> dict[str, float]:
    """How far the camera that the system believes in is from the one that was asked for."""
    a, b = (torch.from_numpy(each.astype(np.float64)) for each in (believed, asked))
    return {"view_deg": float(rotation_angle(a[:3, :3], b[:3, :3]).rad2deg()), "view_m": float((a - b)[:3, 3].norm())}


def _pictured(held: list[int]) -> list[int]:
    return sorted({held[round(k * (len(held) - 1) / (LOOKS - 1))] for k in range(LOOKS)})


def _small(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "small_h small_w 3"]:
    step = max(1, round(picture.shape[1] / LOOK_WIDTH))
    return picture[::step, ::step]
