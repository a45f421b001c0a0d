"""Video depth: python -m eval.video_depth dataset=bonn weights=512-dpt.

A whole sequence is one stream and one long list of pixels, aligned to the truth once.
Source: spec/eval_metrics.md 1.
"""

from dataclasses import asdict
from typing import Any, ClassVar

from eval.depth import DepthAlignment, DepthScorer, depth_look, errors_by_frame, item, scoring
from eval.protocol import EvaluationProtocol, Item, Look, Score
from eval.saved import Predictions
from eval.sequences.sequence import Sequence
from eval.system import Wanted

DEFAULT = (DepthAlignment.metric, DepthAlignment.scale, DepthAlignment.scale_shift)
PARITY = (DepthAlignment.metric, DepthAlignment.scale_published, DepthAlignment.scale_shift_published)


class VideoDepth(EvaluationProtocol):
    name: ClassVar[str] = "video_depth"
    wanted: ClassVar[Wanted] = Wanted(depth=True, whole_picture=True)
    weighted: ClassVar[bool] = True

    def __init__(self, dataset: str, alignments: list[DepthAlignment], *, parity: bool = False) -> None:
        self.alignments = alignments or list(PARITY if parity else DEFAULT)
        self.scoring = scoring(dataset, parity=parity)
        self.parity = parity

    def settings(self) -> dict[str, Any]:
        return {**plain(asdict(self.scoring)), "alignments": [each.value for each in self.alignments]}

    def score(self, sequence: Sequence, predictions: Predictions) -> tuple[Score, Look]:
        assert sequence.read_depth is not None
        if len(predictions) != len(sequence):
            raise ValueError(f"{len(predictions)} predictions for {len(sequence)} frames; expected one each")
        groups: dict[str, list[Item]] = {}
        notes: dict[str, Any] = {}
        look: Look = {}
        with DepthScorer(self.scoring) as scorer:
            ends = []
            for number in range(len(sequence)):
                scorer.add(predictions.depth(number), sequence.read_depth(number))
                ends.append(len(scorer.pairs))
            for alignment in self.alignments:
                fit = scorer.fit(alignment)
                groups[alignment.value] = [item(sequence.name, scorer.score(fit), parity=self.parity)]
                notes[alignment.value] = {"scale": float(fit.scale), "shift": float(fit.shift)}
                look[f"abs_rel_{alignment.value}"] = errors_by_frame(scorer.pairs, ends, fit)
                if alignment is self.alignments[0]:
                    look |= depth_look(sequence, predictions, fit)
        return Score(groups, notes), look


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    """JSON knows neither infinity nor members of an Enum."""
    return {
        key: str(value) if key in ("pre_clip", "post_clip", "alignment") else value for key, value in settings.items()
    }


def main() -> None:
    from eval.runner import main as run

    run(VideoDepth.name)


if __name__ == "__main__":
    main()
