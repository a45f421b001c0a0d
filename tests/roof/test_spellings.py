"""Every flag of every command may be written with dashes or underscores, and what is wrong is one sentence."""

import importlib

import pytest

import demo
import demo_ga
import train
from cut3r.run.command import COMMANDS, main
from cut3r.run.parser import Parser

DATA = "datasets_preprocess.__main__"
# Where the flags of a program are declared, and the least that it wants to be told.
PROGRAMS = {
    "run": ("demo", ["clip.mp4"]),
    "demo_ga.py": ("demo_ga", ["clip.mp4"]),
    "view": ("cut3r.export.view_command", ["out"]),
    "query": ("cut3r.run.query_command", ["out"]),
    "align": ("cut3r.alignment.command", ["out"]),
    "export": ("cut3r.export.command", ["out"]),
    "models": ("cut3r.run.models_command", ["verify"]),
    "doctor": ("cut3r.run.doctor_command", []),
    "completion": ("cut3r.run.completion", ["bash"]),
    "data scannetpp": (DATA, ["scannetpp", "--raw", "raw", "--out", "out"]),
    "data try": (DATA, ["try", "co3d", "--raw", "raw"]),
    "data verify": (DATA, ["verify", "co3d", "--out", "out"]),
    "data pack": (DATA, ["pack", "co3d", "--out", "out", "--to", "packed"]),
    "eval report": ("eval.report.__main__", ["runs"]),
    "eval reproduce": ("eval.reproduce", ["--data", "data"]),
    "eval prepare": ("eval.prepare.__main__", ["check", "sintel"]),
}


class ParsedError(Exception):
    """What a program has understood, before it does anything."""


@pytest.fixture
def understood(monkeypatch):
    """Gives what a program understands of some words, as a dictionary."""

    def stop(self, *words, **how):
        raise ParsedError(parse(self, *words, **how))

    parse = Parser.parse_args

    def run(module, words):
        with monkeypatch.context() as patch:
            patch.setattr(Parser, "parse_args", stop)
            program = importlib.import_module(module)
            with pytest.raises(ParsedError) as caught:
                program.main([*words])
        return vars(caught.value.args[0])

    return run


class FoundError(Exception):
    """The parser of a program."""


def actions_of(module, words):
    """The flags that a program takes after these words."""

    def look(self, *_, **__):
        raise FoundError(self)

    program = importlib.import_module(module)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parser, "parse_args", look)
        with pytest.raises(FoundError) as caught:
            program.main([*words])
    parser = caught.value.args[0]
    inner = [action for action in parser._actions if hasattr(action, "choices") and isinstance(action.choices, dict)]
    declared = [*parser._actions, *(inner[0].choices[words[0]]._actions if inner and words else [])]
    return [action for action in declared if any(flag.startswith("--") for flag in action.option_strings)]


def value_of(action):
    """Something that the flag takes and that is not its default."""
    if action.nargs == 0:
        return []
    if action.choices:
        return [str(next(choice for choice in reversed(list(action.choices)) if choice != action.default))]
    value = {int: "3", float: "0.25"}.get(action.type, "2/7" if "shard" in action.option_strings[0] else "word")
    return [value] * (action.nargs if isinstance(action.nargs, int) else 1)


def spellings():
    """Each flag of more than one word."""
    for program, (module, words) in PROGRAMS.items():
        for action in actions_of(module, words):
            flag = next(each for each in action.option_strings if each.startswith("--"))
            if "_" in flag.strip("-") or "-" in flag.strip("-"):
                yield pytest.param(module, words, flag, value_of(action), id=f"{program} {flag}")


@pytest.mark.parametrize(("module", "words", "flag", "value"), list(spellings()))
def test_both_spellings_say_the_same(module, words, flag, value, understood):
    dashes = "--" + flag[2:].replace("_", "-")
    underscores = "--" + flag[2:].replace("-", "_")
    without = understood(module, words)
    said = [understood(module, [*words, spelled, *value]) for spelled in (dashes, underscores)]
    said += [understood(module, [*words, f"{underscores}={value[0]}"])] if len(value) == 1 else []
    assert all(str(each) == str(said[0]) for each in said[1:])
    assert str(said[0]) != str(without), "the flag says nothing"


def test_every_command_of_argparse_is_in_the_table():
    """The settings of `train` and of the protocols of `eval` are no flags: name=value."""
    assert {name.split()[0] for name in PROGRAMS} - {"demo_ga.py"} == set(COMMANDS) - {"train"}


def test_flags_of_hydra_have_both_spellings():
    assert train.spelled("--config_name=smoke_test") == "--config-name=smoke_test"
    assert train.spelled("run.train_only=[a_b]") == "run.train_only=[a_b]"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["run", "clip.mp4", "--max_frame_s", "3"], "--max_frame_s 3 (did you mean --max-frames?)"),
        (["run", "clip.mp4", "--keepedges"], "did you mean --keep-edges?"),
        (["run", "clip.mp4", "--every", "x"], "argument --every: invalid int value: 'x'"),
        (["align"], "the following arguments are required: FOLDER"),
        (["export", "out", "--only", "mesh", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["view", "out", "--port", "x"], "argument --port"),
        (["query", "out", "--move", "1"], "argument --move: expected 3 arguments"),
        (["models", "lost"], "invalid choice: 'lost'"),
        (["doctor", "--prot", "3"], "did you mean --port?"),
        (["completion", "cmd"], "invalid choice: 'cmd'"),
        (["data", "coco"], "invalid choice: 'coco'"),
        (["data", "co3d", "--raw", "r", "--out", "o", "--shard", "9/8"], "argument --shard"),
        (["eval", "relpos"], "did you mean relpose?"),
        (["train", "+smok"], "there is no recipe 'smok'"),
        (["train"], "name a recipe"),
    ],
)
def test_what_is_wrong_is_one_sentence(words, part, capsys):
    try:
        code = main(words)
    except SystemExit as ending:
        code = ending.code
    said = capsys.readouterr().err
    assert code == demo.WRONG_ARGUMENTS
    assert part in said and said.count("\n") == 1 and said.startswith(("cut3r", "eval"))


def test_the_alignment_says_it_in_one_sentence_too(capsys):
    with pytest.raises(SystemExit):
        demo_ga.main(["clip.mp4", "--windw", "3"])
    said = capsys.readouterr().err
    assert "did you mean --window?" in said and said.count("\n") == 1
