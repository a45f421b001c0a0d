"""The lists of requirements are such that a clean clone installs: setuptools reads them, too, and knows no options."""

from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

tomllib = pytest.importorskip(
    "tomllib", reason="SKIPPED LOUDLY: Python 3.10 reads no TOML, so the lists are unverified"
)
ROOT = Path(__file__).parents[1]


def lines_of(path: Path) -> list[str]:
    return [line for text in path.read_text().splitlines() if (line := text.partition("#")[0].strip())]


def listed() -> list[str]:
    dynamic = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["dynamic"]
    extras = dynamic["optional-dependencies"].values()
    return [name for table in (dynamic["dependencies"], *extras) for name in table["file"]]


def test_the_project_names_every_list():
    """But requirements.txt, which names lists itself: what a checkout needs."""
    assert {*listed(), "requirements.txt"} == {path.name for path in ROOT.glob("requirements*.txt")}
    named = [line.partition("-r ")[2] for line in lines_of(ROOT / "requirements.txt")]
    assert named == ["requirements-core.txt", "requirements-viewer.txt", "requirements-train.txt"]


def test_the_extra_all_has_every_other_one_but_dev():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["dynamic"]
    files = {name: set(table["file"]) for name, table in extras["optional-dependencies"].items()}
    others = [names for name, names in files.items() if name not in ("all", "dev")]
    assert files["all"] == set.union(*others)


@pytest.mark.parametrize("name", sorted(set(listed())))
def test_every_line_is_a_requirement_whose_tested_version_is_known(name):
    tested = {canonicalize_name(Requirement(line).name) for line in lines_of(ROOT / "constraints.txt")}
    for line in lines_of(ROOT / name):
        requirement = Requirement(line)
        assert canonicalize_name(requirement.name) in tested, f"constraints.txt has no version of {requirement.name}"
