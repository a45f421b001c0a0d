"""`cut3r`, the command: its first word says what to do, and the module of that name does it."""

import importlib
import os
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from cut3r.files.roof import roof
from cut3r.run.console import FAILED, WRONG_ARGUMENTS, sorry, version

HELP, VERSION = ("-h", "--help", "help"), ("--version", "-V")


@dataclass(frozen=True)
class Command:
    """A module with a `main(words)` that gives the exit code, imported when it is asked for.

    Attributes:
        extra: What of `pip install 'cut3r[...]'` has the packages that it needs beside those of the library.
        on_the_roof: The module is one of the repository's root, and its `main` takes the name that it was called by.
    """

    module: str
    about: str
    extra: str | None = None
    on_the_roof: bool = False

    def load(self) -> Any:
        if self.on_the_roof:
            climb()
        return importlib.import_module(self.module)


COMMANDS = {
    "run": Command("demo", "footage becomes points, cameras and depth: cut3r run kitchen.mp4", on_the_roof=True),
    "view": Command("cut3r.export.view_command", "open the folder of a run in the 3D page: cut3r view out", "viewer"),
    "query": Command("cut3r.run.query_command", "render a view of a finished run that no camera took"),
    "align": Command("cut3r.alignment.command", "align the frames of a finished run with each other"),
    "export": Command("cut3r.export.command", "make of a finished run a folder for splat trainers"),
    "models": Command("cut3r.run.models_command", "list, download and verify networks"),
    "doctor": Command("cut3r.run.doctor_command", "say what this machine can do, and what is in the way"),
    "completion": Command("cut3r.run.completion", "let the shell complete commands and flags"),
    "train": Command("train", "train a network: cut3r train +smoke", "train", on_the_roof=True),
    "eval": Command("eval.__main__", "score a network: cut3r eval all dataset=rooms weights=tiny", "eval", True),
    "data": Command("datasets_preprocess.__main__", "convert published datasets", "preprocess", on_the_roof=True),
}


def main(arguments: list[str] | None = None) -> int:
    """Hand the words after the first one to the command that it names; gives the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    name, *rest = words or [""]
    if name in HELP or name in VERSION:
        sys.stdout.write(f"cut3r {version()}\n" if name in VERSION else overview())
        return 0
    if name not in COMMANDS:
        return sorry(_no_command(name), WRONG_ARGUMENTS, "cut3r")
    command = COMMANDS[name]
    try:
        module = command.load()
        code: int = module.main(rest, program=f"cut3r {name}") if command.on_the_roof else module.main(rest)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if command.extra is None or missing in ("cut3r", ""):
            raise
        return sorry(f"this needs {missing}: pip install 'cut3r[{command.extra}]'", FAILED, f"cut3r {name}")
    return code


def overview() -> str:
    """What `cut3r --help` says."""
    lines = [f"  {name:<11} {command.about}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: cut3r COMMAND ...", "", *lines, "", "cut3r COMMAND --help says more.", ""])


def climb() -> None:
    """Let the programs of the root be imported, in child processes, too. They are not in site-packages, where names
    such as `eval` and `train` would be in everybody's way."""
    folder, known = str(roof()), os.environ.get("PYTHONPATH")
    if folder not in sys.path:
        sys.path.insert(0, folder)
        os.environ["PYTHONPATH"] = folder if not known else os.pathsep.join((folder, known))


def _no_command(name: str) -> str:
    if not name:
        return f"no command is given; expected one of: {', '.join(COMMANDS)}"
    close = get_close_matches(name, COMMANDS, n=1)
    meant = f"did you mean {close[0]}?" if close else f"expected one of: {', '.join(COMMANDS)}"
    return f"{name!r} is no command; {meant}"
