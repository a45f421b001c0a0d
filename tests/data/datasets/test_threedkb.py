"""3D Ken Burns beyond its recording: the right values of the default, and what all sets of unrelated pictures do."""

import numpy as np
import pytest

from cut3r.data.datasets.threedkb import ThreeDKenBurns
from cut3r.data.layout import read_npz
from cut3r.io.images import read_image
from datasets_preprocess.runner import read_records, run
from datasets_preprocess.threedkb import CONVERTER, VIEWS, intrinsics_of, view_of
from tests.data.datasets.left_out import left_out
from tests.data.datasets.recorded import load_views, unpack


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("threedkb")


@pytest.fixture(scope="module")
def converted(folder):
    report = run(CONVERTER, unpack("threedkb", "raw", folder), folder / "out")
    assert report.complete, str(report)
    return folder / "out"


def open_dataset(out, num_views=4, **options):
    return ThreeDKenBurns(out, num_views=num_views, sizes=[(30, 40)], **options)


def test_cameras_are_those_of_the_default(converted):
    views = load_views("threedkb")
    for frame, right in zip(views["default/frames"], views["default/intrinsics"], strict=True):
        sequence, stem = str(frame).split("/")
        (found,) = read_npz(converted / sequence / "cam" / f"{stem}.npz", "intrinsics")
        np.testing.assert_allclose(found, right)


def test_whole_pictures_are_listed_and_broken_ones_named(converted):
    assert open_dataset(converted).scenes[0].frames == load_views("threedkb")["default/frames"].tolist()
    for record in read_records(converted):
        assert record.done and "00010" not in record.frames, "its json is empty"


def test_the_view_depends_on_nothing_but_the_name(folder, converted):
    raw = folder / "threedkb" / "raw"
    for frame in open_dataset(converted).scenes[0].frames:
        sequence, stem = frame.split("/")
        theirs = read_image(raw / sequence / f"{stem}-{view_of(sequence, stem)}-image.png")
        assert np.array_equal(read_image(converted / sequence / "rgb" / f"{stem}.png"), theirs)
    assert {view_of("city-flying", f"{number:05d}") for number in range(40)} == set(VIEWS)


def test_a_sample_begins_with_its_own_picture_and_resets_after_each(converted):
    dataset = open_dataset(converted)
    for index, frame in enumerate(dataset.scenes[0].frames):
        views = dataset[index]
        assert views[0].label == f"3DKenBurns/all/{frame}" and len({view.label for view in views}) == 4
        assert all(view.reset and view.single_view and not view.has_rays and not view.metric for view in views)


@pytest.mark.parametrize(
    ("spoil", "where"), [(lambda p: p.unlink(), "there is no"), (lambda p: p.write_bytes(b"nothing"), "cannot be read")]
)
def test_a_picture_without_depth_is_left_out(tmp_path, spoil, where):
    raw = unpack("threedkb", "raw", tmp_path)
    spoil(raw / "city-flying-depth" / f"00004-{view_of('city-flying', '00004')}-depth.exr")
    assert where in left_out(CONVERTER, raw, tmp_path / "out", "city-flying")["00004"]
    frames = open_dataset(tmp_path / "out", num_views=2).scenes[0].frames
    assert "city-flying/00001" in frames and "city-flying/00004" not in frames


def test_a_picture_that_lost_a_file_is_not_listed_but_in_parity(folder, tmp_path):
    out = unpack("threedkb", "processed", tmp_path)
    (out / "city-flying" / "depth" / "00004.exr").unlink()
    (out / "notes.txt").write_text("not a folder")
    assert [len(open_dataset(out, parity=parity).scenes[0].frames) for parity in (False, True)] == [6, 7]


def test_fewer_pictures_than_views_may_repeat(converted):
    with pytest.raises(ValueError, match="has the 8 frames that 8 views need"):
        open_dataset(converted, num_views=8)
    assert len(open_dataset(converted, num_views=8, allow_repeat=True)[0]) == 8


def test_pixels_are_square_and_the_field_of_view_is_checked():
    np.testing.assert_allclose(intrinsics_of((48, 64), 90.0), [[32, 0, 31.5], [0, 32, 23.5], [0, 0, 1]])
    for fov_deg in (0.0, 180.0, float("nan")):
        with pytest.raises(ValueError, match="expected one between 0 and 180"):
            intrinsics_of((48, 64), fov_deg)
