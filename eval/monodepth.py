"""Depth of single pictures: python -m eval.monodepth dataset=nyu weights=512-dpt.

Each picture is a stream of its own, aligned to its truth by the ratio of medians. Source: spec/eval_metrics.md 1.
"""

from typing import ClassVar

from cut3r.metrics.depth_alignment import DepthAlignment, ScaleShift
from cut3r.metrics.depth_scoring import DepthScorer
from eval.depth import DepthProtocol, depth_look, item, pictured_frames, require_pixels
from eval.protocol import Item, Look, Score
from eval.saved import Predictions
from eval.sequences.sequence import Sequence


class MonoDepth(DepthProtocol):
    name: ClassVar[str] = "monodepth"
    default = (DepthAlignment.median, DepthAlignment.metric)
    published = (DepthAlignment.median,)

    def streams(self, sequence: Sequence) -> list[range]:
        return [range(number, number + 1) for number in range(len(sequence))]

    def score_pairs(self, sequence: Sequence, predictions: Predictions) -> tuple[Score, Look]:
        assert sequence.read_depth is not None
        groups: dict[str, list[Item]] = {alignment.value: [] for alignment in self.alignments}
        without_truth: list[str] = []
        scored = 0
        fits: dict[int, ScaleShift] = {}  # of the pictures that the report shows
        shown = pictured_frames(sequence)
        for number, stem in enumerate(sequence.stems):
            with DepthScorer(self.scoring) as scorer:
                scorer.add(predictions.depth(number), sequence.read_depth(number))
                if not len(scorer.pairs) and not scorer.pairs.not_finite:
                    without_truth.append(stem)
                    continue
                scored += bool(len(scorer.pairs))
                for alignment in self.alignments:
                    fit = scorer.fit(alignment) if len(scorer.pairs) else None
                    groups[alignment.value].append(item(stem, scorer.score(fit), parity=self.parity))
                    if number in shown and fit is not None and alignment is self.pictured:
                        fits[number] = fit
        require_pixels(sequence, without_truth, scored)
        notes = {"pictures_without_truth": without_truth, "pictured": self.pictured.value}
        return Score(groups, notes), depth_look(sequence, predictions, fits, self.scoring)


def main() -> None:
    from eval.runner import main as run

    run(MonoDepth.name)


if __name__ == "__main__":
    main()
