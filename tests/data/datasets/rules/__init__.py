"""Where the recording of a dataset needs a rule of its own: a module of the dataset's name with any of these.

- `OPTIONS`: an instance of the converter's options, as recorded.
- `RTOL`: how far arrays and float depth may differ, relative.
- `SAMPLES`: how far samples of what we converted may differ (`compare_sample`).
- `differently(name, ours, theirs)`: compare this file by a rule of its own and return True; False for the general rule.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import Any


def rule(slug: str, name: str, default: Any) -> Any:
    """Give what the dataset's module says, or the default."""
    module = f"{__name__}.{slug}"
    if importlib.util.find_spec(module) is None:
        return default
    return getattr(importlib.import_module(module), name, default)


def not_differently(name: str, ours: Path, theirs: Path) -> bool:
    """The general rule holds for every file."""
    return False
