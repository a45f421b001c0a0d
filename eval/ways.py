"""python -m eval PROTOCOL ... ways=[...]: several ways to take long streams, one after the other, in one table.

python -m eval relpose dataset=tum_s1_1000 lengths=[50,200,500] weights=512-dpt ways=[overwrite,ttt3r,"ttt3r reset=100"]

Each way is a run of its own in a folder of its own, so a command that was interrupted goes on where it stopped. At the
end the report of all of them is written, and its tables of the main number are printed.
"""

from dataclasses import fields, replace
from enum import Enum
from pathlib import Path
from typing import Any, get_type_hints

from eval.build import RESULTS, folder_name, set_label
from eval.config import EvalConfig, Stage
from eval.launch import SEQUENCES_FAILED, evaluate, start
from eval.report.__main__ import PICTURED, write
from eval.report.formats import as_markdown
from eval.report.page import make_report
from eval.report.runs import RunError, read_runs
from eval.report.words import MAIN_METRIC
from eval.settings import WrongSettingsError

CHOICES = ("update", "reset", "joint", "overlap", "keyframes", "loops")


def evaluate_ways(protocol: str, config: EvalConfig) -> int:
    """Run each way, then put them side by side.

    Returns:
        The exit status: 0 all sequences of all ways are scored, 1 some failed.

    Raises:
        WrongSettingsError: A way that cannot be read, or what the run of one of them raises.
    """
    try:
        ways = [of_text(text, config) for text in config.ways]
    except ValueError as error:
        raise WrongSettingsError(str(error)) from error
    subject = Path(config.weights or "").stem
    folder = config.out or RESULTS / protocol / f"{set_label(config)}_{subject}_ways"
    status, done = 0, list[Path]()
    for way in ways:
        name = way.way or way.update
        print(f"\n{name}\n")
        system = config.name or subject
        one = replace(way, out=folder / folder_name(name), name=f"{system}, {name}")
        assert one.out is not None
        status = max(status, evaluate(protocol, one))
        done.append(one.out)
    if config.stage is Stage.predict or not start(config).state.is_main_process:
        return status
    return max(status, _report(protocol, done, folder))


def of_text(text: str, config: EvalConfig) -> EvalConfig:
    """The settings of one way.

    Raises:
        ValueError: It names what is no choice of a way, or a value that there is not.
    """
    changed: dict[str, Any] = {}
    hints = get_type_hints(EvalConfig)
    for word in text.split():
        name, equals, value = word.partition("=")
        if not equals or ":" in name:  # filt3r:r=0.8
            name, value = "update", word
        if name not in CHOICES or name in changed:
            raise ValueError(f"the way {text!r} cannot be read at {word!r}; give an update rule and {_choices()}")
        changed[name] = _as(hints[name], name, value)
    usual: dict[str, Any] = {field.name: field.default for field in fields(EvalConfig) if field.name in CHOICES}
    return replace(config, **(usual | changed), ways=[])


def _as(kind: Any, name: str, value: str) -> Any:
    if kind is bool:
        if value not in ("true", "false"):
            raise ValueError(f"{name} is {value!r}; give true or false")
        return value == "true"
    if isinstance(kind, type) and issubclass(kind, Enum):
        if value not in kind.__members__:
            raise ValueError(f"{name} is {value!r}; choose from {', '.join(kind.__members__)}")
        return kind[value]
    if kind is int:
        if not value.isdecimal():
            raise ValueError(f"{name} is {value!r}; give a whole number")
        return int(value)
    return value


def _choices() -> str:
    return ", ".join(f"{name}=..." for name in CHOICES[1:])


def _report(protocol: str, folders: list[Path], folder: Path) -> int:
    """Write the report of the runs, and print what it says of the main number."""
    try:
        runs = read_runs(folders)
    except RunError as error:
        print(f"no table of all ways: {error}")
        return SEQUENCES_FAILED
    report = make_report(runs, pictured=PICTURED)
    write(report, folder / "report")
    for each in report.comparisons:
        if any(column.metric == MAIN_METRIC[protocol] for column in each.columns):
            print(as_markdown(each, ()))
    print(f"wrote {folder / 'report' / 'report.html'} and tables.md, tables.csv, tables.tex beside it")
    return 0
