"""7-Scenes: registration of depth, and the ways in which the download may lie."""

import shutil

import numpy as np
import pytest
from PIL import Image

from eval.prepare import sevenscenes as preparation
from eval.prepare.__main__ import main
from eval.prepare.sevenscenes import register
from eval.sequences import open_set, sevenscenes
from tests.eval.sequences.trees import camera_at, matrix_text, touch, write, write_values

NAMES = ("chess/seq-03", "stairs/seq-04")


@pytest.fixture
def recorded(golden):
    with np.load(golden / "eval" / "recon_7scenes_registration.npz") as archive:
        yield {name: archive[name] for name in archive.files}


def registered(recorded, **options):
    focals = {"depth_focal": float(recorded["depth_focal"]), "color_focal": float(recorded["color_focal"])}
    return register(recorded["depth_mm"], **focals, **options)


def test_registration_is_the_recorded_one_with_parity(recorded):
    result = registered(recorded, parity=True)
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, recorded["registered_mm"])


def test_unknown_depth_stays_out_of_the_way(recorded, tmp_path):
    """The reference moves the 65535 too, and those that overflow 16 bits come out as near points."""
    ours, theirs = registered(recorded), recorded["registered_mm"]
    without = registered(recorded | {"depth_mm": np.where(recorded["depth_mm"] == 65535, 0, recorded["depth_mm"])})
    np.testing.assert_array_equal(ours, without)
    different = ours != theirs
    assert (ours[different] == 0).all()
    assert ((theirs[different] > 65000) | (theirs[different] < 400)).all()
    write_values(tmp_path / "depth.png", ours)
    near = different & (theirs < 400)
    assert near.sum() == 10  # these are what the reader cannot remove
    np.testing.assert_array_equal(sevenscenes.read_depth(tmp_path / "depth.png")[~near], recorded["metres"][~near])


def test_the_nearest_point_wins():
    depth = np.full((480, 640), 2000, np.uint16)
    depth[240, 320] = 1000
    result = register(depth).astype(int)
    ((y, x),) = np.argwhere((result > 0) & (result < 1500))
    assert result[y, x] == pytest.approx(1000, abs=10)
    assert result[y, [x - 2, x + 2]] == pytest.approx(2000, abs=10)


@pytest.fixture
def short(monkeypatch):
    """Two sequences of four frames."""
    monkeypatch.setattr(preparation, "SEQUENCES", NAMES)
    monkeypatch.setattr(preparation, "frames_of", lambda name: 4)


def make_raw(folder):
    for name in NAMES:
        for number in range(4):
            stem = folder / name / f"frame-{number:06d}"
            touch(stem.with_suffix(".color.png"))
            write_values(stem.with_suffix(".depth.png"), np.full((48, 64), 1000 + number))
            write(stem.with_suffix(".pose.txt"), matrix_text(camera_at(number)))


def pack(source, raw, *, inner, outer):
    """Put sequences into zips (inner), and these, or the folders, into a zip per scene (outer)."""
    raw.mkdir()
    for name in NAMES:
        scene, sequence = name.split("/")
        if inner:
            shutil.make_archive(str(source / name), "zip", source / scene, sequence)
            shutil.rmtree(source / name)
        if outer:
            shutil.make_archive(str(raw / scene), "zip", source, scene)
        else:
            shutil.copytree(source / scene, raw / scene)


@pytest.mark.parametrize(("inner", "outer"), [(False, False), (True, False), (False, True), (True, True)])
def test_the_download_may_be_packed(tmp_path, short, inner, outer):
    make_raw(tmp_path / "source")
    pack(tmp_path / "source", tmp_path / "raw", inner=inner, outer=outer)
    assert main(["sevenscenes", "--raw", str(tmp_path / "raw"), "--out", str(tmp_path / "out")]) == 0
    sequences = open_set("mv_recon", "sevenscenes_s2_4", tmp_path / "out", complete=False)
    assert [each.name for each in sequences] == list(NAMES)
    assert sequences[1].stems == ("frame-000000.color", "frame-000002.color")
    assert sequences[1].world_from_cam[:, 0, 3].tolist() == [0, 2]
    assert 0.9 < np.median(sequences[1].read_depth(1)) < 1.1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".prepared", "7scenes"]


def test_scene_zips_may_lie_where_the_scenes_will(tmp_path, short):
    make_raw(tmp_path / "source")
    pack(tmp_path / "source", tmp_path / "7scenes", inner=True, outer=True)
    assert main(["sevenscenes", "--raw", str(tmp_path / "7scenes"), "--out", str(tmp_path)]) == 0
    assert len(list((tmp_path / "7scenes/stairs/seq-04").iterdir())) == 3 * 4


def test_raw_data_in_its_place_gets_registered_depth_beside_it(tmp_path, short):
    make_raw(tmp_path / "7scenes")
    command = ["sevenscenes", "--raw", str(tmp_path), "--out", str(tmp_path)]
    assert main(command) == 0
    folder = tmp_path / "7scenes/chess/seq-03"
    assert len(list(folder.iterdir())) == 4 * 4
    (folder / "frame-000002.depth.proj.png").write_bytes(b"")
    (folder / "frame-000003.depth.proj.png").unlink()
    assert main(command) == 0
    with (
        Image.open(folder / "frame-000003.depth.proj.png") as three,
        Image.open(folder / "frame-000002.depth.proj.png") as two,
    ):
        assert np.asarray(three).max() - np.asarray(two).max() == 1


def test_an_incomplete_download_fails_by_name(tmp_path, short, caplog):
    caplog.set_level("INFO")
    make_raw(tmp_path / "raw")
    (tmp_path / "raw/stairs/seq-04/frame-000001.depth.png").unlink()
    assert main(["sevenscenes", "--raw", str(tmp_path / "raw"), "--out", str(tmp_path)]) == 1
    assert "stairs/seq-04: FileNotFoundError" in caplog.text and not (tmp_path / "7scenes/stairs/seq-04").exists()
