import shutil

import numpy as np
import pytest
from PIL import Image

from cut3r.data.datasets.mapfree import MapFree
from cut3r.data.layout import read_npz
from cut3r.data.sampling import Wanted
from cut3r.data.scene import Graph, Scene
from datasets_preprocess.mapfree import CONVERTER
from datasets_preprocess.mapfree_cameras import read_published
from datasets_preprocess.runner import RawScene, Writer, run
from tests.data.datasets.raw_walks.mapfree import pose_line, write
from tests.data.datasets.recorded import load_views, unpack

LAYOUT = MapFree.layout


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    root = tmp_path_factory.mktemp("mapfree")
    frames = write(root / "raw")["s00000"]
    assert run(CONVERTER, root / "raw", root / "out").complete
    return root, frames


def opened(root, **options):
    return MapFree(root, **{"num_views": 2, "sizes": [(32, 32)], **options})


def write_models(raw, frames, shift=0.0, model="PINHOLE 120 160 100 105 64.5 88.5"):
    """A model of COLMAP for each video; the second one's world is moved by so much."""
    for video in (0, 1):
        folder = raw / f"colmap/s00000/seq{video}"
        folder.mkdir(parents=True)
        (folder / "cameras.txt").write_text(f"# cameras\n1 {model}\n")
        lines = []
        for number in (0, 1):
            pose = frames[2 * video + number].world_from_cam.copy()
            pose[0, 3] += shift * video
            lines += [f"{number + 1} {pose_line(pose)} 1 seq{video}/frame_{number:05d}.jpg", ""]
        (folder / "images.txt").write_text("\n".join(["# images", *lines]) + "\n")


def test_cameras_of_the_recording_are_right_by_default(tmp_path):
    # quirk 3: COLMAP's (0, 0) is the corner of a picture
    report = run(CONVERTER, unpack("mapfree", "raw", tmp_path), tmp_path / "out")
    assert report.complete, str(report)
    views = load_views("mapfree")
    for name, right in zip(views["default/cameras"].tolist(), views["default/intrinsics"], strict=True):
        (intrinsics,) = read_npz(tmp_path / "out" / name, "intrinsic")
        np.testing.assert_allclose(intrinsics, right, rtol=1e-6)


def test_what_the_original_processed_is_put_right(tmp_path):
    dataset = MapFree(unpack("mapfree", "processed", tmp_path), num_views=4, sizes=[(30, 40)])
    scene = dataset.scenes[0]
    frame = dataset.read(scene, scene.frames.index("dense0/frame_00000"))
    right = dict(
        zip(load_views("mapfree")["default/cameras"].tolist(), load_views("mapfree")["default/intrinsics"], strict=True)
    )
    np.testing.assert_allclose(frame.intrinsics, right["s00000/dense0/cam/frame_00000.npz"], rtol=1e-6)
    assert (frame.depth < 0).any() and frame.depth.max() < 400


@pytest.mark.parametrize(("shift", "taken"), [(0.0, "colmap"), (0.05, "published")])
def test_models_that_are_not_in_one_frame_give_way_to_the_published_cameras(walk, tmp_path, shift, taken):
    raw, frames = tmp_path / "raw", walk[1]
    shutil.copytree(walk[0] / "raw", raw)
    write_models(raw, frames, shift)
    text = (raw / "train/s00000/intrinsics.txt").read_text().replace("64.5", "60.5")
    (raw / "train/s00000/intrinsics.txt").write_text(text)
    assert run(CONVERTER, raw, tmp_path / "out").complete
    dataset = opened(tmp_path / "out")
    read = [dataset.read(dataset.scenes[0], position) for position in range(4)]
    assert read[0].intrinsics[0, 2] == pytest.approx(64 if taken == "colmap" else 60)
    for frame, true in zip(read, frames, strict=True):
        np.testing.assert_allclose(frame.world_from_cam, true.world_from_cam, atol=1e-6)


def test_other_cameras_than_pinholes_are_refused(walk, tmp_path):
    shutil.copytree(walk[0] / "raw", tmp_path / "raw")
    write_models(tmp_path / "raw", walk[1], model="SIMPLE_RADIAL 120 160 100 64 88 0.1")
    report = run(CONVERTER, tmp_path / "raw", tmp_path / "out")
    assert "SIMPLE_RADIAL camera; expected PINHOLE" in report.failures[0].reason


def test_overlaps_count_both_ways(walk):
    # quirk 8: how the released groups were made is not known
    scene = opened(walk[0] / "out").scenes[0]
    partners = {scene.frames[i]: {scene.frames[j] for j in scene.graph.of(i)[0].tolist()} for i in range(4)}
    first, second, third, fourth = (f"dense{video}/frame_{number:05d}" for video in (0, 1) for number in (0, 1))
    assert partners == {first: {second}, second: {first, third}, third: {second, fourth}, fourth: {third}}


def test_frames_without_depth_or_photo_are_not_read_and_named(walk, tmp_path, caplog):
    shutil.copytree(walk[0] / "raw", tmp_path / "raw")
    (tmp_path / "raw/s00000/dense0/depth/frame_00001.npy").unlink()
    (tmp_path / "raw/train/s00000/seq1/frame_00000.jpg").unlink()
    writer = Writer(tmp_path / "out", LAYOUT)
    frames = CONVERTER.convert(tmp_path / "raw", RawScene("s00000"), writer)
    assert frames == ["dense0/frame_00000", "dense0/frame_00001", "dense1/frame_00001"]
    assert "s00000/dense0: 1 of 2 frames have no depth" in caplog.text
    assert "frame_00000.jpg" in writer.left_out["frame_00000"]
    scenes = [*opened(tmp_path / "out", num_views=1).list_scenes()]
    assert [scene.frames for scene in scenes] == [("dense0/frame_00000",), ("dense1/frame_00001",)], "no pair is left"


def test_sky_is_where_its_mask_is_and_far_depth_is_unknown(walk, tmp_path):
    shutil.copytree(walk[0] / "out", tmp_path / "out")
    mask = np.zeros((160, 120), np.uint8)
    mask[:40], mask[40:60] = 255, 100
    path = LAYOUT.path(tmp_path / "out", "sky", "s00000/dense0", "frame_00000")
    path.parent.mkdir()
    Image.fromarray(mask).save(path, quality=100)
    depth = np.full((160, 120), 3, np.float32)
    depth[100, :3] = np.nan, np.inf, 500
    np.save(LAYOUT.path(tmp_path / "out", "depth", "s00000/dense0", "frame_00000"), depth)
    dataset = opened(tmp_path / "out")
    read = dataset.read(dataset.scenes[0], 0).depth
    assert (read[:40] == -1).all() and (read[40:100] == 3).all() and not read[100, :3].any()
    Image.fromarray(mask[:80]).save(path)
    with pytest.raises(ValueError, match=r"sky_mask/frame_00000\.jpg cannot be read \(it is of \(80, 120\)"):
        dataset.read(dataset.scenes[0], 0)


@pytest.mark.parametrize("seed", range(20))
def test_a_video_that_is_too_short_leaves_the_draws_to_the_group(seed):
    # quirk 2: an empty list of starts in the original
    pairs = np.array([(0, other, 0.5) for other in range(1, 8)])
    scene = Scene("s", tuple("abcdefgh"), graph=Graph.from_pairs(8, pairs), anchors=[0], tracks=[0, 0] + [1] * 6)
    positions = MapFree.policy.choose(scene, 0, Wanted(4, 4), np.random.default_rng(seed)).positions
    assert len(set(positions)) == 4


def test_a_damaged_list_of_poses_is_refused_by_line(tmp_path):
    (tmp_path / "intrinsics.txt").write_text("seq0/frame_00000.jpg 1 1 1 1 2 2\n")
    (tmp_path / "poses.txt").write_text("# photo\nseq0/frame_00000.jpg 1 0 0\n")
    with pytest.raises(ValueError, match=r"poses\.txt cannot be read \(line 2 has 3 numbers; expected 7"):
        read_published(tmp_path / "poses.txt")


def test_a_model_without_cameras_is_named(walk, tmp_path):
    shutil.copytree(walk[0] / "raw", tmp_path / "raw")
    write_models(tmp_path / "raw", walk[1])
    (tmp_path / "raw/colmap/s00000/seq1/cameras.txt").unlink()
    report = run(CONVERTER, tmp_path / "raw", tmp_path / "out")
    assert "seq1/cameras.txt" in report.failures[0].reason
