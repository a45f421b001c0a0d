"""Lists of files without what file managers leave between them (`._name` and `.DS_Store` of macOS, hidden folders)."""

from pathlib import Path


def visible(folder: Path, pattern: str) -> list[Path]:
    """List what matches a pattern of `Path.glob` below a folder, sorted; nothing hidden, nothing inside of hidden
    folders. An absent folder holds nothing."""
    found = folder.glob(pattern)
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
