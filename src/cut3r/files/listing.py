"""Lists of files without what file managers leave between them: `._name`, `.DS_Store`, and `__MACOSX` of zips."""

from pathlib import Path


def is_hidden(path: Path) -> bool:
    """Tell by a relative path whether a file or one of its folders is hidden, or holds nothing but a Mac's notes."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def visible(folder: Path, pattern: str) -> list[Path]:
    """List what matches a pattern of `Path.glob` below a folder, sorted; nothing hidden, nothing inside of hidden
    folders. An absent folder holds nothing."""
    return sorted(path for path in folder.glob(pattern) if not is_hidden(path.relative_to(folder)))


def visible_folders(folder: Path, pattern: str = "*") -> list[Path]:
    """List the folders among them."""
    return [path for path in visible(folder, pattern) if path.is_dir()]
