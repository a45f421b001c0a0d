"""Lists of files told apart without reading them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path


def fingerprint(files: Sequence[Path]) -> str:
    """Tell lists of files apart by names, order, sizes and times of change; a file that is missing counts as such."""
    digest = hashlib.sha256()
    for file in files:
        try:
            facts = file.stat()
            record = f"{file.name!r} {facts.st_size} {facts.st_mtime_ns}\n"
        except OSError:
            record = f"{file.name!r} missing\n"
        digest.update(record.encode(errors="surrogatepass"))
    return digest.hexdigest()
