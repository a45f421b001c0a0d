"""`cut3r completion`: let the shell complete commands, flags and their values.

    cut3r completion bash > ~/.local/share/bash-completion/completions/cut3r
    cut3r completion zsh  > ~/.zfunc/_cut3r_completion && echo 'source ~/.zfunc/_cut3r_completion' >> ~/.zshrc
    cut3r completion fish > ~/.config/fish/completions/cut3r.fish

The script holds all words, so that the shell starts no Python for them; write it again after an update.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from cut3r.files.roof import roof
from cut3r.run.parser import Parser

PROGRAM = "cut3r completion"
SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True)
class Words:
    """What may follow a command.

    Attributes:
        plain: Words in the place of a file: commands within it, recipes.
        flags: Each with the values that it takes: some, none for a switch, None for any, such as files.
    """

    about: str
    plain: list[str] = field(default_factory=list)
    flags: dict[str, list[str] | None] = field(default_factory=dict)


def main(arguments: list[str] | None = None) -> int:
    """Print the script for a shell; gives the exit code."""
    shell = make_parser().parse_args(arguments).shell
    commands = all_words()
    sys.stdout.write(fish_script(commands) if shell == "fish" else bash_script(commands, zsh=shell == "zsh"))
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shell", choices=SHELLS, help="for which shell")
    return parser


def all_words() -> dict[str, Words]:
    """By command. Those of `eval` and `data` are known only after imports that take seconds: they have none."""
    from cut3r.run.command import COMMANDS

    found: dict[str, Words] = {}
    for name, command in COMMANDS.items():
        match name:
            case "eval" | "data":
                found[name] = Words(command.about)
            case "train":
                recipes = sorted(path.stem for path in (roof() / "configs").glob("*.yaml"))
                found[name] = Words(command.about, [f"+{recipe}" for recipe in recipes])
            case _:
                found[name] = words_of(command.load().make_parser(), command.about)
    return found


def words_of(parser: argparse.ArgumentParser, about: str) -> Words:
    """The choices of a parser's positional arguments, and its flags with their values."""
    plain: list[str] = []
    flags: dict[str, list[str] | None] = {}
    for action in parser._actions:
        choices = None if action.choices is None else [str(choice) for choice in action.choices]
        if not action.option_strings:
            plain += choices or []
        for flag in action.option_strings:
            flags[flag] = [] if action.nargs == 0 else choices
    return Words(about, plain, flags)


def bash_script(commands: Mapping[str, Words], *, zsh: bool) -> str:
    """A function that bash calls, and zsh by its emulation of bash; files where no word fits."""
    values, words = [], []
    for name, each in commands.items():
        for flag, choices in each.flags.items():
            if choices is None or choices:
                values.append(f'        "{name} {flag}") words="{" ".join(choices or [])}" ;;')
        words.append(f'            {name}) words="{" ".join([*each.plain, *each.flags])}" ;;')
    return "\n".join(
        [
            *(["autoload -U +X bashcompinit && bashcompinit"] if zsh else []),
            "_cut3r() {",
            '    local words="" now="${COMP_WORDS[COMP_CWORD]}"',
            f'    if [ "$COMP_CWORD" = 1 ]; then words="{" ".join(commands)}"; else',
            '        case "${COMP_WORDS[1]} ${COMP_WORDS[COMP_CWORD-1]}" in',
            *values,
            '        *) case "${COMP_WORDS[1]}" in',
            *words,
            "        esac ;;",
            "        esac",
            "    fi",
            '    COMPREPLY=($(compgen -W "$words" -- "$now"))',
            "}",
            "complete -o default -F _cut3r cut3r",
            "",
        ]
    )


def fish_script(commands: Mapping[str, Words]) -> str:
    """One line per word."""
    lines = []
    for name, each in commands.items():
        lines.append(f"complete -c cut3r -n __fish_use_subcommand -f -a {name} -d '{_escaped(each.about)}'")
        within = f"complete -c cut3r -n '__fish_seen_subcommand_from {name}'"
        if each.plain:
            lines.append(f"{within} -a '{' '.join(each.plain)}'")
        for flag, choices in each.flags.items():
            kind = "-l" if flag.startswith("--") else "-s"
            value = "" if choices == [] else " -r" if choices is None else f" -x -a '{' '.join(choices)}'"
            lines.append(f"{within} {kind} {flag.lstrip('-')}{value}")
    return "\n".join([*lines, ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
