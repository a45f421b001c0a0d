"""python -m datasets_preprocess.cards: write the tables about datasets into the documentation, from their cards.

A table stands between two comments, `<!-- datasets: NAME -->` and `<!-- end -->`; everything else is written by hand.
What a conversion costs is the newest record of benchmarks/conversion.py, times the published number of frames.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cut3r.data.card import Card
from cut3r.data.datasets import PROCESSED
from cut3r.files.atomic import atomic_path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "docs" / "data.md", ROOT / "datasets_preprocess" / "README.md")
RECORDS = ROOT / "benchmarks" / "results"
MANY = 100_000  # frames, of a dataset that does not say how many it has
PLACE = re.compile(r"(?P<begin><!-- datasets: (?P<name>\w+) -->\n)(?P<table>.*?)(?P<end><!-- end -->)", re.S)


def cards() -> list[Card]:
    """Give the cards of all datasets, by name."""
    return [PROCESSED[slug].card for slug in sorted(PROCESSED)]


def overview() -> str:
    """What there is: one line per dataset."""
    rows = ["| name | dataset | what it shows | unit | size | converted | licence |", "|---|---|---|---|---|---|---|"]
    measured = measurements()
    for card in cards():
        unit = "metres" if card.metric else "up to scale"
        title = f"[{card.title}]({card.url})"
        cells = (title, card.about, unit, _size(card), cost(card, measured[card.slug]), card.licence)
        rows.append(f"| `{card.slug}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def commands() -> str:
    """How each is converted."""
    rows = ["| name | command | needs |", "|---|---|---|"]
    for card in cards():
        command = f"`python -m datasets_preprocess {card.slug} --raw RAW --out OUT`"
        rows.append(f"| `{card.slug}` | {command} | {', '.join(card.needs) or 'nothing more'} |")
    return "\n".join(rows)


def differences() -> str:
    """What we do otherwise than the original."""
    return "\n".join(f"- **`{card.slug}`**: {'; '.join(card.differs)}." for card in cards())


def measurements() -> dict[str, dict[str, Any]]:
    """Read the rows of the newest record of what conversions cost, by dataset.

    Raises:
        FileNotFoundError: There is none.
    """
    records = sorted(RECORDS.glob("*-conversion-*.json"))
    if not records:
        raise FileNotFoundError(f"no record in {RECORDS}; make one: PYTHONPATH=. python benchmarks/conversion.py --out")
    return {row["name"]: row for row in json.loads(records[-1].read_text())["rows"]}


def cost(card: Card, measured: dict[str, Any]) -> str:
    """Say how large a converted dataset is, and how long one core works for it."""
    kept = (card.frames or MANY) / (measured["published_frames_of_each"] if card.frames else 1)
    gigabytes, hours = kept * measured["mb_per_frame"] / 1000, kept * measured["core_s_per_frame"] / 3600
    text = f"{_bytes(gigabytes)}, {f'{hours:.0f}' if hours >= 10 else f'{hours:.2g}'} h"
    return text if card.frames else f"{text} per {MANY:,} frames"


TABLES: dict[str, Callable[[], str]] = {"overview": overview, "commands": commands, "differences": differences}


def renewed(text: str) -> str:
    """Fill in the tables of a page.

    Raises:
        ValueError: A place asks for a table that there is not.
    """

    def fill(match: re.Match[str]) -> str:
        if match["name"] not in TABLES:
            raise ValueError(f"there is no table {match['name']!r} of datasets; there are {', '.join(TABLES)}")
        return f"{match['begin']}{TABLES[match['name']]()}\n{match['end']}"

    return PLACE.sub(fill, text)


def main() -> int:
    for page in PAGES:
        text = page.read_text()
        with atomic_path(page) as temporary:
            temporary.write_text(renewed(text))
    return 0


def _size(card: Card) -> str:
    numbers = [f"{count:,} {what}" for count, what in ((card.scenes, "scenes"), (card.frames, "frames")) if count]
    sizes = [
        f"{_bytes(size)} {what}" for size, what in ((card.raw_gb, "raw"), (card.processed_gb, "processed")) if size
    ]
    return ", ".join(numbers + sizes) or "not published"


def _bytes(gigabytes: float) -> str:
    return f"{gigabytes / 1000:.3g} TB" if gigabytes >= 999.5 else f"{gigabytes:.3g} GB"


if __name__ == "__main__":
    sys.exit(main())
