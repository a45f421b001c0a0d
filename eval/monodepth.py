"""Depth of single pictures: python -m eval.monodepth dataset=nyu weights=512-dpt.

Each picture is a stream of its own, aligned to its truth by the ratio of medians. Source: spec/eval_metrics.md 1.
"""

from dataclasses import asdict
from typing import Any, ClassVar

from eval.depth import DepthAlignment, DepthScorer, depth_look, item, scoring
from eval.protocol import EvaluationProtocol, Item, Look, Score
from eval.saved import Predictions
from eval.sequences.sequence import Sequence
from eval.system import Wanted
from eval.video_depth import plain

DEFAULT = (DepthAlignment.median, DepthAlignment.metric)
PARITY = (DepthAlignment.median,)


class MonoDepth(EvaluationProtocol):
    name: ClassVar[str] = "monodepth"
    wanted: ClassVar[Wanted] = Wanted(depth=True, whole_picture=True)
    weighted: ClassVar[bool] = True

    def __init__(self, dataset: str, alignments: list[DepthAlignment], *, parity: bool = False) -> None:
        self.alignments = alignments or list(PARITY if parity else DEFAULT)
        self.scoring = scoring(dataset, parity=parity)
        self.parity = parity

    def settings(self) -> dict[str, Any]:
        return {**plain(asdict(self.scoring)), "alignments": [each.value for each in self.alignments]}

    def streams(self, sequence: Sequence) -> list[range]:
        return [range(number, number + 1) for number in range(len(sequence))]

    def score(self, sequence: Sequence, predictions: Predictions) -> tuple[Score, Look]:
        assert sequence.read_depth is not None
        if len(predictions) != len(sequence):
            raise ValueError(f"{len(predictions)} predictions for {len(sequence)} pictures; expected one each")
        groups: dict[str, list[Item]] = {alignment.value: [] for alignment in self.alignments}
        unknown: list[str] = []
        look: Look = {}
        for number, stem in enumerate(sequence.stems):
            with DepthScorer(self.scoring) as scorer:
                scorer.add(predictions.depth(number), sequence.read_depth(number))
                if not len(scorer.pairs) and not scorer.pairs.not_finite:
                    unknown.append(stem)
                for alignment in self.alignments:
                    fit = scorer.fit(alignment) if len(scorer.pairs) else None
                    groups[alignment.value].append(item(stem, scorer.score(fit), parity=self.parity))
                    if not look and fit is not None:
                        look = depth_look(sequence, predictions, fit)
        return Score(groups, {"pictures_without_truth": unknown}), look


def main() -> None:
    from eval.runner import main as run

    run(MonoDepth.name)


if __name__ == "__main__":
    main()
