"""Text files of numbers, one row per line, as programs of all kinds write them.

Blanks and commas separate, # begins a comment, and what C's printf on Windows calls infinity and "not a number"
(1.#INF, -1.#IND, 1.#QNAN) is understood.
"""

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float64

WINDOWS = re.compile(r"([+-]?)\d+\.#(INF|IND|QNAN|SNAN|NAN)\d*", re.IGNORECASE)
COMMENT = re.compile(r"(?<![.])#.*")  # the # of 1.#QNAN begins none


def number(word: str) -> float:
    """Read one number.

    Raises:
        ValueError: It is none.
    """
    spelled = WINDOWS.fullmatch(word)
    if spelled:
        word = spelled[1] + ("inf" if spelled[2].upper() == "INF" else "nan")
    return float(word)


def read_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Split the lines of a text file into words; give them with their line numbers, from 1, without empty ones.

    Raises:
        ValueError: The file is no text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text file ({error}); expected lines of numbers; copy it again") from error
    lines = [COMMENT.sub("", line).replace(",", " ").split() for line in text.splitlines()]
    return [(count, words) for count, words in enumerate(lines, start=1) if words]


def read_rows(
    path: Path, width: int, layout: str, *, skip: int = 0
) -> tuple[Float64[np.ndarray, "rows width"], list[int]]:
    """Read a table of numbers; give the rows, and the number of each one's line for messages.

    Args:
        layout: What a row holds, for messages.
        skip: The number of lines before the table, such as a heading.

    Raises:
        ValueError: A line that is not `width` numbers; the message names the file and the line.
    """
    lines = [(line, words) for line, words in read_lines(path) if line > skip]
    rows = [_numbers(path, line, words, layout) for line, words in lines]
    for (line, _), row in zip(lines, rows, strict=True):
        if len(row) != width:
            raise ValueError(f"{path}, line {line}: {len(row)} numbers; expected {width} ({layout})")
    return np.array(rows, np.float64).reshape(-1, width), [line for line, _ in lines]


def read_matrix(path: Path, rows: int, columns: int) -> Float64[np.ndarray, "rows columns"]:
    """Read a matrix, whatever its line breaks.

    Raises:
        ValueError: Something is no number, or they are not rows times columns many; the message names the file.
    """
    layout = f"a {rows}x{columns} matrix"
    values = [value for line, words in read_lines(path) for value in _numbers(path, line, words, layout)]
    if len(values) != rows * columns:
        raise ValueError(
            f"{path} holds {len(values)} numbers; expected the {rows * columns} of {layout}; copy it again"
        )
    return np.array(values, np.float64).reshape(rows, columns)


def _numbers(path: Path, line: int, words: list[str], layout: str) -> list[float]:
    try:
        return [number(word) for word in words]
    except ValueError as error:
        raise ValueError(f"{path}, line {line}: {error}; expected numbers ({layout})") from error
