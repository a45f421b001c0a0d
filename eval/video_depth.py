"""Video depth: python -m eval.video_depth dataset=bonn weights=512-dpt.

A whole sequence is one stream and one long list of pixels, aligned to the truth once.
Source: spec/eval_metrics.md 1.
"""

from typing import Any, ClassVar

from cut3r.metrics.depth_alignment import DepthAlignment
from cut3r.metrics.depth_scoring import DepthScorer
from eval.depth import DepthProtocol, depth_look, errors_by_frame, item, pictured_frames, require_pixels
from eval.protocol import Item, Look, Score
from eval.saved import Predictions
from eval.sequences.sequence import Sequence


class VideoDepth(DepthProtocol):
    name: ClassVar[str] = "video_depth"
    default = (DepthAlignment.metric, DepthAlignment.scale, DepthAlignment.scale_shift)
    published = (DepthAlignment.metric, DepthAlignment.scale_published, DepthAlignment.scale_shift_published)

    def score_pairs(self, sequence: Sequence, predictions: Predictions) -> tuple[Score, Look]:
        assert sequence.read_depth is not None
        groups: dict[str, list[Item]] = {}
        notes: dict[str, Any] = {}
        look: Look = {}
        with DepthScorer(self.scoring) as scorer:
            ends = []
            known = 0
            without_truth: list[str] = []
            for number, stem in enumerate(sequence.stems):
                scorer.add(predictions.depth(number), sequence.read_depth(number))
                ends.append(len(scorer.pairs))
                before, known = known, len(scorer.pairs) + scorer.pairs.not_finite
                without_truth += [stem] if known == before else []
            require_pixels(sequence, without_truth, len(scorer.pairs))
            notes |= {"pictures_without_truth": without_truth, "pictured": self.pictured.value}
            for alignment in self.alignments:
                fit = scorer.fit(alignment)
                groups[alignment.value] = [item(sequence.name, scorer.score(fit), parity=self.parity)]
                notes[alignment.value] = {"scale": float(fit.scale), "shift": float(fit.shift)}
                limits = self.scoring.post_clip
                look[f"abs_rel_{alignment.value}"] = errors_by_frame(scorer.pairs, ends, fit, limits)
                if alignment is self.pictured:
                    fits = dict.fromkeys(pictured_frames(sequence), fit)
                    look |= depth_look(sequence, predictions, fits, self.scoring)
        return Score(groups, notes), look


def main() -> None:
    from eval.runner import main as run

    run(VideoDepth.name)


if __name__ == "__main__":
    main()
