"""Names and folders on the command line stand as they are."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from cut3r.training.config import TrainConfig
from cut3r.training.overrides import quote_text_settings, quoted

AWKWARD = [
    "runs/J\u00fcrgen",
    "runs/lr=1e-3",
    "set[1]",
    "com,ma",
    "par(en)",
    "two words",
    "it's",
    'a "quoted" part',
    "{curly}",
    "#1",
    "a:b",
    "~/runs",
    "1e3",
    "true",
    "back\\slash\\",
    "\u6570\u636e",
    "$5",
]


def read(argument):
    return OverridesParser.create().parse_override(argument)


@pytest.mark.parametrize("value", AWKWARD)
@pytest.mark.parametrize(
    "name",
    [
        "run.output_dir",
        "run.pretrained",
        "paths.root",
        "paths.folders.co3d",
        "+data.splits.co3d",
        "data.synthetic.cache",
    ],
)
def test_paths_and_text_reach_hydra_as_they_stand(name, value):
    (argument,) = quote_text_settings([f"{name}={value}"], TrainConfig)
    override = read(argument)
    assert override.key_or_group == name.removeprefix("+")
    assert override.value() == value


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(ValueError, match=r"paths\.root is '/\\udcff', which is no text"):
        quote_text_settings(["paths.root=/\udcff"], TrainConfig)


@given(st.text(min_size=1))
def test_any_text_can_be_quoted(text):
    assert read(f"name={quoted(text)}").value() == text


@pytest.mark.parametrize(
    "argument",
    [
        "optim.lr=1e-3",
        "run.train_only=[a,b]",
        "data.samples={synthetic: 1}",
        "run.precision=bf16",
        "run.pretrained=null",
        "run.output_dir='a b'",
        'run.output_dir="a b"',
        "run.output_dir=runs/${run.seed}",
        "hydra.run.dir=a(b)",
        "--config-name",
        "+smoke",
        "~data.samples",
        "no.such=a(b)",
    ],
)
def test_everything_else_is_left_alone(argument):
    assert quote_text_settings([argument], TrainConfig) == [argument]


def test_a_sweep_over_text_is_left_alone():
    arguments = ["--multirun", "run.pretrained=a.pt,b.pt", "paths.root=choice(a,b)", "run.output_dir=a=b"]
    assert quote_text_settings(arguments, TrainConfig) == [*arguments[:3], "run.output_dir='a=b'"]


@pytest.mark.parametrize("value", ["", "  ", "''", '""'])
def test_an_empty_folder_is_refused(value):
    with pytest.raises(ValueError, match=r"run\.output_dir is empty"):
        quote_text_settings([f"run.output_dir={value}"], TrainConfig)


@pytest.mark.parametrize("value", [value for value in AWKWARD if not value.startswith("[")])
def test_a_single_text_becomes_the_list_that_belongs_there(value):
    (argument,) = quote_text_settings([f"data.footage={value}"], TrainConfig)
    assert read(argument).value() == [value]


def test_lists_of_texts_stay_as_they_are():
    arguments = ["data.footage=[kitchen.mp4,photos/]", "run.train_only=['heads.*']", "data.sizes=[[96,128]]"]
    assert quote_text_settings(arguments, TrainConfig) == arguments
