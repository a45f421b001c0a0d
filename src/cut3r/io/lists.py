"""Text files that list pictures, as people and programs write them.

One path per line, in quotes or not; the concat form of FFmpeg (`file 'a.jpg'`); the form of TUM (`timestamp path`).
Saved by any editor: with a byte order mark, with Windows line ends and backslashes, in UTF-8, UTF-16 or Latin-1.
"""

import codecs
import os
import re
from pathlib import Path

LIST_SUFFIXES = frozenset({".txt", ".lst", ".list", ".ffconcat"})

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
_TUM = re.compile(rf"{_NUMBER}[\s,]+(\S.*)")
_SECOND = re.compile(rf"(\S+)[\s,]+{_NUMBER}[\s,]+(\S+)")  # "rgb/1.png 1.02 depth/1.png", from associate.py
_CONCAT = re.compile(
    r"(ffconcat|file|duration|inpoint|outpoint|outpoint_frame|stream|exact_stream_id|option|chapter|"
    r"file_packet_meta(?:data)?|stream_meta|stream_codec|stream_extradata)\s+(\S.*)"
)


def read_list(path: Path) -> list[Path]:
    """Read the paths in a list, in its order; relative ones start at its folder. Nothing is looked for at the places.

    Blank lines, lines that start with # and the `._` files of macOS are left out.

    Raises:
        ValueError: The file is no text.
    """
    lines = [line for line in _lines(path) if line and not line.startswith("#")]
    names = [name for name in _names(lines, path.parent) if not name.rpartition("/")[2].startswith("._")]
    return [path.parent / name for name in names]


def _lines(path: Path) -> list[str]:
    data = path.read_bytes()
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            text = data[len(mark) :].decode(encoding, errors="replace" if encoding != "utf-8" else "surrogateescape")
            break
    else:
        text = os.fsdecode(data)  # bytes that are no UTF-8 stay what they are, as in the names of files
    if "\0" in text:
        raise ValueError(f"{path} is not a text; expected one image path per line, in UTF-8")
    return [line.strip() for line in re.split(r"\r\n|\r|\n", text)]


def _names(lines: list[str], folder: Path) -> list[str]:
    if lines and not _exists(folder, lines[0]):  # a file may be called "file 1.jpg", or "1 photo.jpg"
        if all(_CONCAT.fullmatch(line) for line in lines):
            return [_found(name, folder) for name in _concat_names(lines)]
        if all(_TUM.fullmatch(line) for line in lines):
            return [_found(_unquoted(_tum_name(line)), folder) for line in lines]
    return [_found(_unquoted(line), folder) for line in lines]


def _concat_names(lines: list[str]) -> list[str]:
    """The last file is by custom written twice, so that FFmpeg keeps its duration; it is one picture."""
    words = [match.groups() for line in lines if (match := _CONCAT.fullmatch(line))]
    names = [_shell_word(value) for keyword, value in words if keyword == "file"]
    timed = any(keyword == "duration" for keyword, _ in words)
    if timed and len(names) > 1 and names[-1] == names[-2] and words[-1][0] == "file":
        names.pop()
    return names


def _tum_name(line: str) -> str:
    match = _TUM.fullmatch(line)
    assert match is not None, "the caller has looked"
    pair = _SECOND.fullmatch(match[1])
    if pair is None:
        return match[1]
    return pair[2] if "depth" in pair[1] and "depth" not in pair[2] else pair[1]


def _shell_word(text: str) -> str:
    """Undo the quoting of FFmpeg: '...' is literal, and \\ outside of it takes the next character as it is."""
    parts = re.findall(r"'([^']*)'?|\\(.)|([^'\\]+)", text)
    return "".join("".join(groups) for groups in parts).strip()


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'" else text


def _found(name: str, folder: Path) -> str:
    """The name, or another spelling of it that is there: Windows separators, or UTF-8 for what the list has in Latin-1.

    A home folder (~) is filled in.
    """
    plain = name.isascii() and "\\" not in name
    if not plain and not _exists(folder, name):
        latin = os.fsencode(name).decode("cp1252", errors="replace") if re.search(r"[\udc80-\udcff]", name) else name
        for other in (latin, name.replace("\\", "/"), latin.replace("\\", "/")):
            if other != name and _exists(folder, other):
                return other
    return os.path.expanduser(name) if name.startswith("~/") and not _exists(folder, name) else name


def _exists(folder: Path, name: str) -> bool:
    return os.path.lexists(folder / name)
