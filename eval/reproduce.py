"""All published tables of CUT3R from what is on this disk: python -m eval reproduce --data DIR.

Each table is scored in parity mode with the released weights, resumably, and each number is judged by the band in which
other people's re-runs of the same weights fall. What cannot be run is listed with the command that gets it.

Exit status: 0 all numbers are within their bands, 1 some are not or a run failed, 2 wrong settings, 3 nothing is wrong
but something is missing.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cut3r.files.atomic import atomic_path
from cut3r.run.flags import as_declared
from cut3r.run.parser import Parser
from cut3r.weights import zoo
from eval.published import Check, published_sets, reproduction
from eval.report.coverage import is_official
from eval.report.runs import Run, RunError, read_run
from eval.report.words import PROTOCOLS, alignment_title, set_title
from eval.sequences import open_set
from eval.sequences.prepared import prepared_otherwise
from eval.tables import METRICS, markdown, prepared_text

WEIGHTS = "512-dpt"
DIFFERS, WRONG_SETTINGS, INCOMPLETE = 1, 2, 3
VERDICTS = {True: "within", False: "OUTSIDE", None: "paper uncertain"}
Start = Callable[[list[str]], int]


@dataclass(frozen=True)
class Table:
    """Numbers that one run gives: a protocol on a set."""

    protocol: str
    dataset: str
    groups: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"{PROTOCOLS[self.protocol]} on {set_title(self.dataset)}"


@dataclass(frozen=True)
class Outcome:
    """A table with its run, or with what keeps it from being run.

    Attributes:
        missing: What is not there, with the command that gets it.
        wrong: Why its numbers are not those of the published procedure.
    """

    table: Table
    run: Run | None = None
    missing: str = ""
    wrong: str = ""

    def checks(self) -> list[tuple[str, Check]]:
        if self.run is None:
            return []
        return [
            (group, check)
            for group in self.table.groups
            for check in reproduction(self.table.protocol, self.table.dataset, group, self.run.headline(group))
        ]

    @property
    def good(self) -> bool:
        """Whether nothing speaks against it, as far as there is something."""
        return not self.wrong and all(check.passed is not False for _, check in self.checks())


def main(arguments: list[str] | None = None) -> int:
    args = parse_args(arguments)
    if args.weights not in zoo.NAMES and not Path(args.weights).is_file():
        print(
            f"eval reproduce: --weights {args.weights} is neither a file nor one of {', '.join(zoo.NAMES)}",
            file=sys.stderr,
        )
        return WRONG_SETTINGS
    tables = [each for each in published_tables() if not args.only or each.protocol in args.only]
    outcomes = []
    for table in tables:
        outcomes.append(
            reproduce(table, args.data, args.weights, args.out, start=None if args.dry_run else run_command)
        )
        print(f"{table.title}: {status(outcomes[-1])}", flush=True)
    text = report(outcomes)
    if not args.dry_run:
        with atomic_path(args.out / "reproduction.md") as temporary:
            temporary.write_text(text, encoding="utf-8")
    print(f"\n{text}")
    if any(not outcome.good for outcome in outcomes):
        return DIFFERS
    return INCOMPLETE if any(outcome.run is None for outcome in outcomes) else 0


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m eval reproduce", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the folder that holds all sets")
    parser.add_argument(
        "--out", type=Path, default=Path("eval_results/reproduction"), metavar="DIR",
        help="where runs are kept and gone on with (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--weights", default=WEIGHTS, help="file or name of the released weights (default: %(default)s)"
    )
    parser.add_argument("--only", nargs="+", choices=tuple(PROTOCOLS), default=[], help="tables of these protocols")
    parser.add_argument("--dry-run", action="store_true", help="say what is there and what is missing; run nothing")
    return parser.parse_args(as_declared(parser, sys.argv[1:] if arguments is None else arguments))


def published_tables() -> list[Table]:
    """One for each run that is needed, with all the alignments that are published for it (the published procedures)."""
    groups: dict[tuple[str, str], list[str]] = {}
    for protocol, dataset, names in published_sets():
        groups.setdefault((protocol, dataset), []).append(names[0])
    return [Table(*key, tuple(names)) for key, names in groups.items()]


def reproduce(table: Table, data: Path, weights: str, out: Path, *, start: Start | None) -> Outcome:
    """Find a table's finished run, or make it.

    Args:
        start: Runs a command and gives its exit status; None makes nothing.
    """
    folder = out / table.protocol / table.dataset
    if (finished := _finished(folder)) is not None:
        return judged(table, finished)
    try:
        sequences = open_set(table.protocol, table.dataset, data, parity=True)
        if weights in zoo.NAMES:
            zoo.find(weights)
    except FileNotFoundError as error:
        return Outcome(table, missing=str(error))
    except ValueError as error:
        return Outcome(table, wrong=str(error))
    if prepared_otherwise(sequences, parity=True):
        again = f"python -m eval.prepare {table.dataset} --raw DOWNLOAD --out {data} --parity"
        return Outcome(table, missing=f"its {prepared_text(True)}: remove it and prepare it again with {again}")
    if start is None:
        return Outcome(table, missing="nothing; not run yet")
    status = start(command(table, data, weights, folder))
    if (finished := _finished(folder)) is None:
        return Outcome(table, wrong=f"the run ended with status {status} and is not finished; see above")
    return judged(table, finished)


def command(table: Table, data: Path, weights: str, folder: Path) -> list[str]:
    settings = {"dataset": table.dataset, "root": data, "weights": weights, "parity": "true", "out": folder}
    return [sys.executable, "-m", "eval", table.protocol, *(f"{key}={value}" for key, value in settings.items())]


def run_command(words: list[str]) -> int:
    print(f"\n$ {shlex.join(['python', *words[1:]])}", flush=True)
    return subprocess.run(words, check=False).returncode


def judged(table: Table, run: Run) -> Outcome:
    """Say what makes a finished run's numbers others than the published ones, beside being different."""
    reasons = [f"{len(run.failed)} sequences failed: {', '.join(run.failed)}"] if run.failed else []
    reasons += [] if run.parity and run.whole else ["it is no run of the whole set in parity mode"]
    reasons += [prepared_text(True)] if run.prepared_otherwise else []
    reasons += [] if is_official(run) else [f"these are not the released weights ({run.label})"]
    return Outcome(table, run, wrong="; ".join(reasons))


def status(outcome: Outcome) -> str:
    """One line."""
    if outcome.run is None:
        return f"not run: {outcome.wrong or outcome.missing}"
    checks = outcome.checks()
    inside = sum(check.passed is not False for _, check in checks)
    return f"{inside} of {len(checks)} numbers within" + (f"; {outcome.wrong}" if outcome.wrong else "")


def report(outcomes: Sequence[Outcome]) -> str:
    """A row for each number, and what is missing."""
    rows = [
        {
            "table": outcome.table.title,
            "alignment": alignment_title(outcome.table.protocol, group),
            "metric": METRICS[check.metric].title,
            "paper": METRICS[check.metric].text(check.published),
            "band": " to ".join(METRICS[check.metric].text(end) for end in check.band),
            "this run": METRICS[check.metric].text(check.ours),
            "verdict": VERDICTS[check.passed] + (" (see below)" if outcome.wrong else ""),
        }
        for outcome in outcomes
        for group, check in outcome.checks()
    ]
    said = ["# Published numbers, scored again", ""]
    said += [markdown(rows), ""] if rows else ["No table could be scored.", ""]
    wrong = [f"- {outcome.table.title}: {outcome.wrong}" for outcome in outcomes if outcome.wrong]
    missing = [f"- {outcome.table.title}: {outcome.missing}" for outcome in outcomes if outcome.missing]
    said += ["## Not as published", "", *wrong, ""] if wrong else []
    said += ["## Missing", "", *missing, ""] if missing else []
    scored = sum(outcome.run is not None for outcome in outcomes)
    passed = sum(check.passed is not False for outcome in outcomes for _, check in outcome.checks())
    said.append(
        f"{scored} of {len(outcomes)} tables scored, {passed} of {len(rows)} numbers within their bands. A band is the "
        "scatter of other people's re-runs of the same weights."
    )
    return "\n".join(said) + "\n"


def _finished(folder: Path) -> Run | None:
    if not (folder / "run.json").is_file():
        return None
    try:
        return read_run(folder)
    except RunError:
        return None  # begun, and gone on with


if __name__ == "__main__":
    sys.exit(main())
