"""What programs on a command line have in common: how they log, and how errors become sentences and exit codes."""

import argparse
import importlib
import importlib.util
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cut3r.speed.machine import SLEEPY_THREADS

if TYPE_CHECKING:  # imported when needed: --help answers at once
    from rich.console import Console

logger = logging.getLogger(__name__)

FAILED, WRONG_ARGUMENTS, NO_INPUT, INTERRUPTED = 1, 2, 3, 130
ADDRESS = re.compile(r"(\w+://)(?:[^/\s]*@)?([^\s?]*)(?:\?\S*)?")
CHATTY = ("websockets", "viser")  # loggers that tell of each connection


def guarded(work: Callable[[argparse.Namespace], int], args: argparse.Namespace, program: str) -> int:
    """Do what the flags say, and turn what a user can do wrong into one sentence and an exit code."""
    os.environ.update(SLEEPY_THREADS | os.environ)  # torch is not loaded yet
    from cut3r.speed.device import device_failure

    try:
        return work(args)
    except KeyboardInterrupt:
        return INTERRUPTED
    except FileNotFoundError as error:
        return sorry(error, NO_INPUT, program)
    except ValueError as error:
        return sorry(error, WRONG_ARGUMENTS, program)
    except OSError as error:
        return sorry(error, FAILED, program)
    except (RuntimeError, MemoryError) as error:
        if (reason := device_failure(error)) is None:
            raise
        return sorry(reason, FAILED, program)


def has_page() -> bool:
    """Whether the package of the 3D page is installed; if not, say how to get it, for a run goes on without."""
    if importlib.util.find_spec("viser") is not None:
        return True
    logger.warning("there is no 3D page, for viser is not installed: pip install 'cut3r[viewer]'")
    return False


def version() -> str:
    """The program's, for what it writes."""
    return str(importlib.import_module(__name__.partition(".")[0]).__version__)


def told(words: Sequence[str]) -> str:
    """A command as text for a file: addresses without user, password and query."""
    shown = [ADDRESS.sub(r"\1\2", word) for word in words]
    return os.fsencode(shlex.join(shown)).decode(errors="replace")  # names of files may be anything but UTF-8


def sorry(error: object, code: int, program: str) -> int:
    """Say what went wrong, and give the exit code back."""
    sys.stderr.write(f"{program}: {error}\n")
    return code


def start_logging() -> "Console":
    """Let the library's messages reach the terminal, or plain lines a file."""
    from rich.console import Console
    from rich.logging import RichHandler

    console = Console(stderr=True)
    handler: logging.Handler = logging.StreamHandler()  # into a file or a pipe: plain lines, which rich would wrap
    if console.is_terminal:
        handler = RichHandler(console=console, show_path=False, show_time=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    return console
