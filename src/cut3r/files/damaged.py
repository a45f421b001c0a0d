"""What damaged files raise, and how that becomes one sentence with the file's name."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def read_errors() -> tuple[type[Exception], ...]:
    """List what damaged files raise: Pillow, NumPy and zip archives have no common base class."""
    from PIL import Image  # here, because rendered rooms do without pictures from files, and so without Pillow

    known = (OSError, ValueError, KeyError, EOFError, SyntaxError)
    return (*known, zipfile.BadZipFile, zlib.error, Image.DecompressionBombError)


@contextmanager
def naming_the_file(path: Path) -> Iterator[None]:
    """Let what a damaged file raises name the file.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Any other of `read_errors`, or a header that claims more than there is memory.
    """
    damage: tuple[type[Exception], ...] = (*read_errors(), MemoryError)
    try:
        yield
    except FileNotFoundError:
        raise
    except damage as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} cannot be read ({reason}); copy or make it again") from error
