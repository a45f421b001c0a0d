"""What stands behind the numbers: overview of all runs, coverage, what was not scored, reproduction of the paper."""

from collections.abc import Iterable, Sequence
from html import escape

from cut3r.weights.zoo import OFFICIAL, name_of_file
from eval.published import SYSTEM, long_set, published, reproduction
from eval.report.compare import Family, RunSet, mode
from eval.report.elements import badge, fold, notes, slug, swatch, table
from eval.report.ranking import main_group, with_unit
from eval.report.runs import Run
from eval.report.sequences import Drawing
from eval.report.words import MAIN_METRIC, alignment_title, set_title
from eval.tables import METRICS


def overview(sets: Sequence[RunSet], families: Sequence[Family], drawing: Drawing) -> str:
    """One line per run, or per system on long sets: its main number, the paper's, and what stands behind it."""
    rows = []
    shown: list[RunSet | Family] = [*sets, *families]
    for each in shown:
        name = each.name if isinstance(each, Family) else each.dataset
        for label, runs in by_label(each.runs).items():
            link = f'<a href="#{slug(each.protocol, name)}">{escape(each.title)}</a>'
            ends = runs[:1] if len(runs) == 1 else [runs[0], runs[-1]]
            rows.append([link, _named(label, drawing), *_numbers(ends), coverage_badges(runs)])
    return table(
        ["Protocol and set", "System", "Result", "CUT3R's paper", "Coverage and mode"], rows, kind="stacked overview"
    )


def by_label(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Runs of one system, in their order."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.label, []).append(run)
    return found


def coverage_badges(runs: Sequence[Run]) -> str:
    """How much of their sets was scored, and in which mode."""
    scored, expected, left_out, failed = (
        sum(len(getattr(run, kind)) for run in runs) for kind in ("sequences", "expected", "left_out", "failed")
    )
    badges = [badge(f"{scored} of {expected} scored", "good" if scored == expected else "warn")]
    badges += [badge(f"{left_out} left out by the protocol", "warn")] if left_out else []
    badges += [badge(f"{failed} failed", "bad")] if failed else []
    badges += [badge(text) for text in dict.fromkeys(text for run in runs for text in mode(run).split(", "))]
    return " ".join(badges)


def run_badges(runs: Iterable[Run], drawing: Drawing) -> str:
    """A line per system."""
    lines = [
        f"<li>{_named(label, drawing)} {coverage_badges(of_label)}</li>" for label, of_label in by_label(runs).items()
    ]
    return f'<ul class="badges">{"".join(lines)}</ul>'


def not_scored(runs: Sequence[Run]) -> str:
    """Sequences without a number, by name and with the reason: failures in the open, the rest folded."""
    several = len(runs) > 1

    def rows(kind: str) -> list[list[str]]:
        return [
            [escape(name), *([escape(f"{run.label}, {set_title(run.dataset)}")] if several else []), escape(why)]
            for run in runs
            for name, why in getattr(run, kind).items()
        ]

    head = ["Sequence", *(["Run"] if several else []), "Reason"]
    failed, left_out = rows("failed"), rows("left_out")
    text = ""
    if failed:
        text += f'<div class="failed"><p class="caption">Failed</p>{table(head, failed, kind="stacked")}</div>'
    if left_out:
        text += fold(f"Left out by the protocol: {len(left_out)}", table(head, left_out, kind="stacked"), kind="tables")
    return text


def reproduction_fold(run: Run) -> str:
    """Whether a run in parity mode gives CUT3R's published numbers."""
    verdicts = {True: badge("within", "good"), False: badge("outside", "bad"), None: badge("paper uncertain", "warn")}
    rows, passed = [], []
    for group in run.summary:
        for check in reproduction(run.protocol, run.dataset, group, run.headline(group)):
            metric = METRICS[check.metric]
            band = " to ".join(metric.text(end) for end in check.band)
            numbers = [metric.text(check.published), band, metric.text(check.ours)]
            name = f"{escape(metric.title)}, {escape(alignment_title(run.protocol, group))}"
            rows.append([name, *numbers, verdicts[check.passed]])
            passed.append(check.passed)
    if not rows or not is_official(run):
        return ""
    good = all(verdict is not False for verdict in passed) and run.whole and not run.failed
    good = good and not run.prepared_otherwise
    text = badge("reproduces CUT3R", "good") if good else badge("does not reproduce CUT3R", "bad")
    note = notes(["The bands are the scatter of others' re-runs; only the released weights on the whole set can pass."])
    inside = table(["Metric", "Paper", "Band", "This run", "Verdict"], rows, numbers=(1, 2, 3)) + note
    return fold(f"Reproduction of the published numbers: {run.label}", inside, extra=text, kind="tables")


def is_official(run: Run) -> bool:
    """Whether the weights are a published file of CUT3R; no other network reproduces its numbers or fails to."""
    weights = run.facts.get("weights") or {}
    official = OFFICIAL.get(name_of_file(weights.get("file", "")) or "")
    return official is not None and official.sha256 in (None, weights["sha256"])


def _named(label: str, drawing: Drawing) -> str:
    return f"{swatch(drawing.colors[label])}<b>{escape(label)}</b>"


def _numbers(runs: Sequence[Run]) -> tuple[str, str]:
    """The main number of a run, and the paper's; of the shortest and the longest set, if there are two."""
    metric = MAIN_METRIC[runs[0].protocol]
    group = main_group(runs[0])
    if group is None:
        return "no result", ""
    ours = [run.headline(group).get(metric) for run in runs]
    paper = [_paper_number(run, group, metric) for run in runs]
    return _range(metric, ours, runs), _range(metric, paper, runs)


def _range(metric: str, values: Sequence[float | None], runs: Sequence[Run]) -> str:
    """One number or two; one alone says of which length it is."""
    known = [(value, run) for value, run in zip(values, runs, strict=True) if value is not None]
    if len(known) == 1 and len(runs) > 1:
        ((value, run),) = known
        length = long_set(run.dataset)
        return escape(f"{with_unit(metric, value)} ({length[1]} frames)" if length else with_unit(metric, value))
    texts = dict.fromkeys(with_unit(metric, value) for value, _ in known)
    return escape(" to ".join(texts).replace(f" to {METRICS[metric].title.split(',')[0]}", " to"))


def _paper_number(run: Run, group: str, metric: str) -> float | None:
    rows = published(run.protocol, run.dataset, group).rows
    return next((row.values[metric] for row in rows if row.system == SYSTEM and metric in row.values), None)
