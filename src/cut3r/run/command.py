"""`cut3r`, the command: its first word says what to do, and the module of that name does it.

cut3r align out/        align the frames of a finished run with each other
cut3r export out/       make a folder for splat trainers of a finished run
"""

import importlib
import sys

from cut3r.run.console import WRONG_ARGUMENTS, sorry

COMMANDS = {
    "align": "cut3r.alignment.command",
    "export": "cut3r.export.command",
}  # modules with a `main`, imported when they are asked for
HELP = ("-h", "--help")


def main(arguments: list[str] | None = None) -> int:
    """Hand the words after the first one to the command that it names; gives the exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in HELP:
        sys.stdout.write(f"{__doc__}\ncut3r COMMAND --help says more.\n")
        return 0
    if not words or words[0] not in COMMANDS:
        said = f"{words[0]!r} is no command" if words else "no command is given"
        return sorry(f"{said}; expected one of: {', '.join(COMMANDS)}", WRONG_ARGUMENTS, "cut3r")
    code: int = importlib.import_module(COMMANDS[words[0]]).main(words[1:])
    return code
