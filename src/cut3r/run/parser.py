"""A parser of command lines whose errors are one sentence."""

import argparse
import re
from difflib import get_close_matches
from typing import NoReturn

WRONG = 2  # the exit status


class Parser(argparse.ArgumentParser):
    """Like argparse's, which prints all flags before it says what is wrong with one."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{self.prog}: {message}{self._meant(message)}; {self.prog} --help lists what there is\n")

    def _meant(self, message: str) -> str:
        """What a flag that nobody knows was probably to be."""
        found = re.match(r"unrecognized arguments: (-[\w-]+)", message)
        known = [flag for action in self._actions for flag in action.option_strings]
        close = get_close_matches(found[1].replace("_", "-"), known, n=1) if found else []
        return f" (did you mean {close[0]}?)" if close else ""
