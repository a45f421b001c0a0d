"""Where the programs of the repository's root are, and what comes along with them: networks, the example, recipes."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def roof() -> Path:
    """Give the folder that holds demo.py, eval/, assets/, ...: in an installed package (setup.py puts it there), or in
    a checkout."""
    installed = PACKAGE / "roof"
    return installed if installed.is_dir() else PACKAGE.parents[1]
