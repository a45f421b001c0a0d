"""python -m eval PROTOCOL dataset=NAME weights=FILE|NAME ...: one system on one set by one protocol.

python -m eval video_depth dataset=sintel weights=512-dpt
python -m eval all dataset=rooms weights=tiny
accelerate launch --num_processes 8 -m eval video_depth dataset=sintel weights=512-dpt
python -m eval reproduce --data DIR     all published numbers (eval.reproduce)
"""

import importlib
import logging
import sys
from difflib import get_close_matches

from cut3r.run.console import WRONG_ARGUMENTS as WRONG_SETTINGS
from eval.help import overview, protocol_help
from eval.sets import PROTOCOLS

HELP = ("--help", "-h", "help")
ALL = "all"
PROGRAM = "python -m eval"
OTHERS = ("prepare", "report")  # programs of their own


def main(words: list[str], program: str = PROGRAM) -> int:
    """Run the protocol that the first word names with the settings that follow.

    Args:
        program: The name that it was called by: `cut3r eval` is the same.

    Returns:
        The exit status: 0 all sequences are scored or left out by the protocol, 1 some failed, 2 wrong settings.
    """
    name, *rest = words or [""]
    if name in ("", *HELP):
        print(_named(overview(), program))
        return 0 if name else WRONG_SETTINGS
    if name == "reproduce":
        return int(importlib.import_module("eval.reproduce").main(rest))
    if name in OTHERS:
        return int(importlib.import_module(f"eval.{name}.__main__").main(rest))
    if name not in (*PROTOCOLS, ALL):
        return _refuse(name, _no_protocol(name))
    if any(word in HELP for word in rest):
        print(_named(protocol_help(name), program))
        return 0
    return _evaluate(name, rest)


def _evaluate(name: str, words: list[str]) -> int:
    from eval.everything import EVERY_SET, evaluate_all  # here: --help answers at once
    from eval.launch import evaluate
    from eval.settings import WrongSettingsError, read_settings
    from eval.ways import evaluate_ways

    logging.basicConfig(level=logging.INFO, format="[%(asctime)s][%(name)s][%(levelname)s] - %(message)s")
    try:
        if name == ALL:
            return evaluate_all(read_settings([f"dataset={EVERY_SET}", *words]))
        settings = read_settings(words)
        return evaluate_ways(name, settings) if settings.ways else evaluate(name, settings)
    except WrongSettingsError as error:
        return _refuse(name, str(error))


def _named(text: str, program: str) -> str:
    """A text with the name of the program, of which `python -m eval.report` is a part."""
    return text if program == PROGRAM else text.replace(f"{PROGRAM}.", f"{program} ").replace(PROGRAM, program)


def _no_protocol(name: str) -> str:
    names = (*PROTOCOLS, ALL)
    close = get_close_matches(name, names, n=1)
    meant = f"did you mean {close[0]}?" if close else f"choose from {', '.join(names)}"
    return f"there is no protocol '{name}', {meant}"


def _refuse(protocol: str, reason: str) -> int:
    print(f"eval {protocol}: {reason}", file=sys.stderr)
    return WRONG_SETTINGS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
