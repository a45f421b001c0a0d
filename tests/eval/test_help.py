"""What `python -m eval` says of itself."""

from dataclasses import fields

import pytest

from eval.__main__ import main
from eval.config import EvalConfig
from eval.launch import WRONG_SETTINGS
from eval.sequences import PROTOCOLS, SETS


def test_alone_it_says_what_there_is(capsys):
    assert main([]) == WRONG_SETTINGS
    said = capsys.readouterr().out
    assert said.startswith("usage: python -m eval PROTOCOL dataset=NAME")
    assert all(f"\n{name} " in said for name in PROTOCOLS)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_help_of_a_protocol_has_its_sets_and_every_setting(capsys, protocol, flag):
    assert main([protocol, "dataset=sintel", flag]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in SETS[protocol])
    assert [f"\n{each.name}=" in said for each in fields(EvalConfig)] == [True] * len(fields(EvalConfig))
    assert "[saved, reference]" in " ".join(said.split())


def test_a_misspelt_protocol_is_answered(capsys):
    assert main(["relpos", "dataset=sintel"]) == WRONG_SETTINGS
    assert "there is no protocol 'relpos', did you mean relpose?" in capsys.readouterr().err
