"""By which rule `eval.prepare` has made the folders of a sequence.

It leaves a record for the last thing that it made of a sequence, ROOT/.prepared/<folder or file>.json: mostly the
folder of its pictures, for 7-Scenes a file among them.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from cut3r.files.listing import visible
from eval.sequences.sequence import Sequence

logger = logging.getLogger(__name__)

RECORDS = ".prepared"


def with_rule(sequence: Sequence, root: Path) -> Sequence:
    """Note on a sequence whether it was prepared in parity, if it was prepared here."""
    folder = sequence.images[0].parent
    if not folder.is_relative_to(root):
        return sequence
    record = root / RECORDS / folder.relative_to(root)
    there = [path for path in (record.with_name(f"{record.name}.json"), *visible(record, "*.json")) if path.is_file()]
    rules = {bool(json.loads(path.read_text())["parity"]) for path in there}
    return replace(sequence, prepared_in_parity=rules.pop()) if len(rules) == 1 else sequence


def prepared_otherwise(sequences: Iterable[Sequence], *, parity: bool) -> list[str]:
    """Name the sequences that were prepared by the other rule than they are scored by."""
    return [each.name for each in sequences if each.prepared_in_parity not in (None, parity)]


def warn_of_rule(sequences: list[Sequence], *, parity: bool) -> None:
    """Say if data was prepared by the other rule than it is scored by: the numbers are of neither mode."""
    names = prepared_otherwise(sequences, parity=parity)
    if names:
        made, flag = ("without", " --parity") if parity else ("with", "")
        logger.warning(
            "%d of %d sequences were prepared %s --parity, first %s: the numbers are of neither mode; prepare the set "
            "anew with python -m eval.prepare SET --raw DOWNLOAD --out ROOT%s",
            *(len(names), len(sequences), made, names[0], flag),
        )
