"""Rules by name: what flags, settings and files say."""

from dataclasses import dataclass

import pytest
import torch

from cut3r.model.update import OVERWRITE
from cut3r.rules import RULES, create, rule_of, text_of
from cut3r.rules.filt3r import FILT3R
from cut3r.rules.frame_gate import Change, FrameGate
from cut3r.rules.memix import MeMix
from cut3r.rules.recal3r import ReCal3R
from cut3r.rules.ttsa3r import TTSA3R
from cut3r.rules.ttt3r import TTT3R


def test_names_are_those_that_files_and_flags_use():
    assert {name: create(name) for name in RULES} == {
        "overwrite": OVERWRITE,
        "ttt3r": TTT3R(),
        "ttsa3r": TTSA3R(),
        "filt3r": FILT3R(),
        "recal3r": ReCal3R(),
        "memix": MeMix(),
        "frame": FrameGate(),
    }
    assert create("memix+ttt3r") == MeMix(inner=TTT3R())
    assert create("memix+overwrite") == MeMix()
    assert create("frame+filt3r") == FrameGate(FILT3R())
    assert create("memix+frame") == MeMix(FrameGate())
    assert create("memix+frame+ttt3r") == MeMix(FrameGate(TTT3R()))
    assert repr(FILT3R(r=0.8)) != repr(FILT3R())


def test_constants_go_to_the_mask_or_to_the_rule_that_has_them():
    made = rule_of("memix+filt3r:share=0.5,r=0.8,mask_first_view=true,blocks=10")
    assert made == MeMix(FILT3R(r=0.8), share=0.5, blocks=10, mask_first_view=True)
    assert create("memix+filt3r", share=0.5, r=0.8, mask_first_view=True, blocks=10) == made
    made = rule_of("memix+frame+filt3r:share=0.5,window=30,r=0.8")
    assert made == MeMix(FrameGate(FILT3R(r=0.8), Change(window=30)), share=0.5)
    assert rule_of(" filt3r: r = 0.8 ") == FILT3R(r=0.8)


@pytest.mark.parametrize(
    "rule",
    [
        *(kind() for kind in RULES.values()),
        FILT3R(r=0.1 + 0.2),
        MeMix(TTSA3R(shift=1.25), share=1 / 3, mask_first_view=True),
        MeMix(TTT3R(), published_reset=True),
        TTSA3R(published_reset=True, most_tokens=4),
        FrameGate(TTT3R(), Change(least=0.1)),
        MeMix(FrameGate(FILT3R(r=0.8), Change(still=1e-3)), blocks=4),
    ],
    ids=repr,
)
def test_the_text_of_a_rule_makes_it_again(rule):
    assert rule_of(text_of(rule)) == rule


@dataclass(frozen=True)
class Half:
    """A weight of somebody else."""

    def initial_buffers(self, batch_size, config, device):
        return {}

    def weigh(self, writing):
        return torch.full(writing.state.is_new.shape, 0.5), {}


def test_a_rule_with_a_part_that_no_name_stands_for_is_told_as_it_is():
    assert text_of(FrameGate(weight=Half())) == "FrameGate(inner=Overwrite(), weight=Half())"
    assert text_of(MeMix(FrameGate(TTT3R(), Half()))).startswith("MeMix(inner=FrameGate(inner=TTT3R(), weight=Half())")


def test_the_text_names_every_constant():
    assert text_of(FrameGate(TTT3R())) == "frame+ttt3r:least=0.05,key=0.5,percentile=0.9,window=100,still=0.0001"
    assert text_of(OVERWRITE) == "overwrite"
    assert text_of(ReCal3R()) == "recal3r:pressure_decay=0.95,residual_shift=0.2,base_rate=0.1,own_share=0.5"
    assert text_of(MeMix(FILT3R())).startswith("memix+filt3r:p_init=1.5,gamma_p=1.0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tt3r", "there is no update rule 'tt3r'; choose from overwrite, ttt3r, ttsa3r, filt3r, recal3r, memix"),
        ("memix+memix", "there is no update rule 'memix.memix'"),
        ("ttt3r+memix", "there is no update rule 'ttt3r.memix'"),
        ("frame+memix", "there is no update rule 'frame.memix'"),
        ("frame+frame+ttt3r", "there is no update rule"),
        ("frame:weight=1", "the update rule frame has no constant 'weight'; it has least, key"),
        ("frame+ttt3r:least=2", "least is 2.0 and key 0.5"),
        ("", "there is no update rule ''"),
        ("ttt3r:r=1", "the update rule ttt3r has no constant 'r'; it has none"),
        ("filt3r:q=1", "the update rule filt3r has no constant 'q'; it has p_init, gamma_p"),
        ("memix+filt3r:q=1", "the update rule memix.filt3r has no constant 'q'; it has share"),
        ("memix:inner=ttt3r", "the update rule memix has no constant 'inner'"),
        ("filt3r:r", "cannot be read; write NAME:constant=value"),
        ("filt3r:", "cannot be read"),
        ("filt3r:r=1,r=2", "gives r twice"),
        ("filt3r:r=big", "r of the update rule filt3r is 'big'; give a number, such as r=1.0"),
        ("filt3r:r=nan", "r of the update rule filt3r is 'nan'"),
        ("filt3r:r=true", "r of the update rule filt3r is True"),
        ("memix:blocks=2.5", "blocks of the update rule memix is '2.5'; give a whole number"),
        ("memix:mask_first_view=yes", "give true or false"),
        ("memix:share=2", "share is 2.0"),
    ],
)
def test_what_is_no_rule_is_refused_in_one_sentence(text, message):
    with pytest.raises(ValueError, match=message):
        rule_of(text)


def test_a_number_of_another_kind_is_no_whole_number():
    with pytest.raises(ValueError, match=r"blocks of the update rule memix is 2\.5; give a whole number"):
        create("memix", blocks=2.5)
    assert create("memix", blocks=10.0, share=1) == MeMix(blocks=10, share=1.0)
