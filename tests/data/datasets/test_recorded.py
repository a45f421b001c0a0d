"""Every recording of every dataset: parity readers return the recorded samples, parity converters write the recorded
files."""

import shutil

import pytest

from cut3r.data.dataset import Request
from cut3r.data.datasets import PROCESSED
from datasets_preprocess import CONVERTERS
from datasets_preprocess.runner import run
from tests.data.datasets.recorded import (
    RECORDED,
    Draws,
    Sample,
    case_of,
    compare_sample,
    files_below,
    make_folders_beside,
    meta,
    open_parity,
    samples,
    unexpected,
    unpack,
)
from tests.data.datasets.recorded_files import compare_file
from tests.data.datasets.rules import not_differently, rule

KNOWN = [slug for slug in RECORDED if slug in PROCESSED]
CONVERTED = [slug for slug in KNOWN if slug in CONVERTERS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("recorded")


def test_there_is_a_recording_of_every_published_dataset():
    assert set(PROCESSED) <= set(RECORDED)
    assert set(CONVERTERS) == set(PROCESSED)


@pytest.mark.parametrize("sample", samples(KNOWN), ids=str)
def test_the_reader_gives_the_recorded_sample(sample: Sample, folder):
    root, case = unpack(sample.slug, "processed", folder), case_of(sample.slug, sample.case)
    dataset = open_parity(sample.slug, root, case)
    assert len(dataset) == case["len"]
    draws = Draws(dataset)
    views = dataset.compact(Request(sample.index, dataset.sizes[0], case["num_views"]))
    compare_sample(views, draws.per_view(len(views)), sample.values)


@pytest.fixture(scope="module", params=CONVERTED)
def converted(request, folder):
    slug = request.param
    raw, theirs = unpack(slug, "raw", folder), unpack(slug, "processed", folder)
    out = folder / slug / "ours"
    report = run(CONVERTERS[slug], raw, out, parity=True, options=rule(slug, "OPTIONS", None))
    assert not unexpected(report, meta(slug).get("given_up", [])), str(report)
    make_folders_beside(slug, out)
    for name in meta(slug).get("put_by_hand", []):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(theirs / name, out / name)
    return slug, out, theirs


def test_the_converter_writes_the_recorded_files(converted):
    slug, out, theirs = converted
    recorded = set(files_below(theirs)) - set(meta(slug).get("removed_by_hand", []))
    missing = sorted(recorded - set(files_below(out)))
    assert not missing, f"{len(missing)} files are missing, first {missing[0]}"
    differently = rule(slug, "differently", not_differently)
    for name in sorted(recorded):
        if not differently(name, out / name, theirs / name):
            compare_file(out / name, theirs / name, rtol=rule(slug, "RTOL", 1e-6))


def test_what_was_converted_is_read_as_recorded(converted):
    """The samples once more, of what our own converter wrote."""
    slug, out, _ = converted
    limits = rule(slug, "SAMPLES", {})
    for sample in samples([slug]):
        case = case_of(slug, sample.case)
        dataset = open_parity(slug, out, case)
        assert len(dataset) == case["len"]
        draws = Draws(dataset)
        views = dataset.compact(Request(sample.index, dataset.sizes[0], case["num_views"]))
        compare_sample(views, draws.per_view(len(views)), sample.values, **limits)
