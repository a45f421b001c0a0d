"""Tables with a heading, as spreadsheets write them (CSV)."""

import csv
from pathlib import Path

from cut3r.files.damaged import naming_the_file

Row = dict[str, str]


def read_table(path: Path, *columns: str) -> list[Row]:
    """Read the rows of a table by the names of its columns. A short row lacks the last ones: they are empty texts.

    Args:
        columns: That it must have.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is damaged, or lacks one of these columns.
    """
    with naming_the_file(path), path.open(newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file, restval="", skipinitialspace=True)
        table.fieldnames = [name.strip() for name in table.fieldnames or []]
        if lacking := [name for name in columns if name not in table.fieldnames]:
            raise ValueError(f"it lacks the columns {', '.join(lacking)}")
        return list(table)
