"""`cut3r`: what it says of itself, quickly, and how it finds its commands."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cut3r.run.command import COMMANDS, Command, climb, main
from cut3r.run.console import FAILED, WRONG_ARGUMENTS
from cut3r.run.flags import as_declared

ROOT = Path(__file__).parents[2]


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said and command.about in said for name, command in COMMANDS.items())


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["alig"], "'alig' is no command; did you mean align?"),
        ([], "no command is given; expected one of: run"),
    ],
)
def test_a_wrong_word_is_one_sentence(words, part, capsys):
    assert main(words) == WRONG_ARGUMENTS
    said = capsys.readouterr().err
    assert part in said and said.count("\n") == 1


def test_the_version_is_that_of_the_package(capsys):
    import cut3r

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cut3r {cut3r.__version__}\n"


def test_help_imports_nothing_heavy():
    """One process for all: each must leave the heavy packages to the next one."""
    code = f"""
import sys
from cut3r.run.command import main
main(["--help"])
for name in {list(COMMANDS)!r}:
    try:
        main([name, "--help"])
    except SystemExit as ending:
        assert ending.code == 0
    heavy = {{"torch", "numpy", "cv2", "viser", "PIL", "scipy", "rich"}} & set(sys.modules)
    assert not heavy, f"cut3r {{name}} --help imports {{heavy}}"
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert all(f"usage: cut3r {name}" in run.stdout for name in COMMANDS)


def test_flags_of_commands_within_commands_have_both_spellings():
    from cut3r.run import models_command

    parser = models_command.make_parser()
    parser._subparsers._group_actions[0].choices["verify"].add_argument("--every-file")
    words = ["verify", "--every_file=a_b", "512_dpt"]
    assert as_declared(parser, words) == ["verify", "--every-file=a_b", "512_dpt"]


@pytest.mark.parametrize(
    ("missing", "said"), [("viser", "this needs viser: pip install 'cut3r[viewer]'"), ("av", None)]
)
def test_a_package_that_is_missing_comes_with_the_extra_that_has_it(missing, said, monkeypatch, capsys):
    """One of the library's own is a broken installation, and no extra helps."""

    def fail(_: list[str]) -> int:
        raise ModuleNotFoundError(name=missing)

    extra = "viewer" if missing == "viser" else None
    monkeypatch.setitem(sys.modules, "cut3r.of_a_test", SimpleNamespace(main=fail))
    monkeypatch.setitem(COMMANDS, "try", Command("cut3r.of_a_test", "fails", extra))
    if said is None:
        with pytest.raises(ModuleNotFoundError):
            main(["try"])
    else:
        assert main(["try"]) == FAILED
        assert capsys.readouterr().err == f"cut3r try: {said}\n"


def test_programs_of_the_roof_are_found_here_and_by_child_processes(monkeypatch):
    monkeypatch.setattr(sys, "path", ["elsewhere"])
    monkeypatch.setenv("PYTHONPATH", "mine")
    for _ in range(2):
        climb()
    assert sys.path == [str(ROOT), "elsewhere"]
    assert os.environ["PYTHONPATH"] == os.pathsep.join((str(ROOT), "mine"))
