"""Report of evaluation runs: python -m eval.report RUN [RUN ...] [--out DIR] [--against OLD ...].

Writes report.html (tables beside published numbers, pictures of the worst sequences, how to repeat the runs) and the
tables as tables.md, tables.csv and tables.tex. With --against it writes nothing and says what got better or worse.
"""

import argparse
import os
import sys
from pathlib import Path

from cut3r.files.atomic import atomic_path
from cut3r.run.flags import as_declared
from cut3r.run.parser import Parser
from eval.report.against import regression_text, regressions
from eval.report.formats import as_csv, latex_file, markdown_file
from eval.report.page import Report, make_report
from eval.report.runs import RunError, read_runs

PICTURED = 40
WORSE, WRONG_RUN = 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 the report is written, or nothing got worse; 1 something did; 2 a folder is no finished run."""
    args = parse_args(arguments)
    try:
        runs = read_runs(runs_below(args.runs))
        if args.against:
            found = regressions(runs, read_runs(runs_below(args.against)))
            print(regression_text(found))
            return WORSE if any(each.worse for each in found) else 0
    except RunError as error:
        print(f"eval.report: {error}", file=sys.stderr)
        return WRONG_RUN
    report = make_report(runs, pictured=args.pictures)
    out = args.out or default_out(args.runs)
    write(report, out)
    for problem in report.problems:
        print(f"eval.report: without pictures: {problem}", file=sys.stderr)
    size_mb = (out / "report.html").stat().st_size / 1e6
    print(f"wrote {out / 'report.html'} ({size_mb:.1f} MB) and tables.md, tables.csv, tables.tex beside it")
    return 0


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m eval.report", description=__doc__.splitlines()[0])
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="folder that an evaluation wrote (out=...), or that holds some",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where to write; by default report/ in the run, or beside several runs"
    )
    parser.add_argument(
        "--pictures",
        type=int,
        default=PICTURED,
        metavar="N",
        help="draw the N worst sequences of each set; the tables have all (default: %(default)s)",
    )
    parser.add_argument(
        "--against",
        nargs="+",
        type=Path,
        metavar="OLD",
        help="compare with older runs of the same sets; exit status 1 if something got worse beyond noise",
    )
    args = parser.parse_args(as_declared(parser, sys.argv[1:] if arguments is None else arguments))
    if args.pictures < 0:
        parser.error(f"--pictures is {args.pictures}; give 0 or more")
    return args


def runs_below(folders: list[Path]) -> list[Path]:
    """Take a folder that is no run, but holds some, for all of these."""
    found: list[Path] = []
    for folder in folders:
        below = sorted(path.parent for path in folder.glob("*/run.json"))
        found += below if below and not (folder / "run.json").is_file() else [folder]
    return found


def default_out(runs: list[Path]) -> Path:
    """report/ in the only run, or in the nearest folder that holds all of them."""
    return Path(os.path.commonpath([run.resolve() for run in runs])) / "report"


def write(report: Report, out: Path) -> None:
    """Write the page and the tables; each file appears complete."""
    files = {
        "report.html": report.html,
        "tables.md": markdown_file(report.comparisons, report.notes, report.pairs),
        "tables.csv": as_csv(report.comparisons),
        "tables.tex": latex_file(report.comparisons, report.notes),
    }
    for name, text in files.items():
        with atomic_path(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
