"""Words that a shell completes: tried in bash, which is where the tests run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cut3r.run.command import COMMANDS
from cut3r.run.completion import all_words, bash_script, fish_script, main

ROOT = Path(__file__).parents[2]
ASK = """
{script}
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _cut3r; printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def script() -> str:
    return bash_script(all_words(), zsh=False)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("cut3r ''", set(COMMANDS)),
        ("cut3r al", {"align"}),
        ("cut3r run --max", {"--max-frames", "--max-points"}),
        ("cut3r run --fit ''", {"crop", "resize", "pad"}),
        ("cut3r run --fit crop --no", {"--no-viewer"}),
        ("cut3r run --save ''", set()),  # files are the shell's own affair
        ("cut3r align out --align ''", {"graph", "full"}),
        ("cut3r train +sm", {"+smoke"}),
        ("cut3r models ver", {"verify"}),
    ],
)
def test_bash_completes(words, expected, script):
    done = subprocess.run(["bash", "-c", ASK.format(script=script, words=words)], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    assert set(done.stdout.split()) == expected


def test_other_shells_know_the_same_words():
    words = all_words()
    zsh, fish = bash_script(words, zsh=True), fish_script(words)
    assert zsh == f"autoload -U +X bashcompinit && bashcompinit\n{bash_script(words, zsh=False)}"
    assert "__fish_seen_subcommand_from run' -l fit -x -a 'crop resize pad'" in fish
    assert all(f"-a {name} -d '" in fish for name in COMMANDS)


def test_printing_a_script_imports_nothing_heavy():
    code = "import sys; from cut3r.run.completion import main; main(['bash']); assert 'torch' not in sys.modules"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.returncode == 0 and "_cut3r" in run.stdout, run.stderr


def test_an_unknown_shell_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["tcsh"])
    assert "'tcsh'" in capsys.readouterr().err
