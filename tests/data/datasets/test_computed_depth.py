"""Depth, and masks, that a download lacks and the converters compute."""

import json
import shutil

import numpy as np
import pytest

import cut3r.data.stereo
from cut3r.data.datasets import PROCESSED
from cut3r.data.layout import read_npy
from cut3r.io.colmap_dense import write_dense_map
from datasets_preprocess import CONVERTERS
from datasets_preprocess.colmap_stereo import colmap_missing
from datasets_preprocess.depth_options import DepthOptions, Mvs, Sky
from datasets_preprocess.dl3dv import Dl3dvOptions
from datasets_preprocess.options import as_json
from datasets_preprocess.runner import make_plan, run
from datasets_preprocess.verify import verify
from tests.data.datasets import fake_colmap
from tests.data.datasets.colmap_model import write_model
from tests.data.datasets.textured_walk import textured_walk, write_dl3dv, write_mapfree, write_points

OPTIONS = {"mapfree": DepthOptions, "dl3dv": Dl3dvOptions}
SMALL = (48, 64)


def write(slug, raw, walk):
    """Give the folder of the scene, below OUT."""
    if slug == "mapfree":
        write_mapfree(raw, walk)
        return "s00000/dense0"
    return f"{write_dl3dv(raw, walk)}/dense"


def depths(out, folder):
    return [read_npy(path) for path in sorted((out / folder / "depth").glob("*.npy"))]


def convert(slug, root, **options):
    report = run(CONVERTERS[slug], root / "raw", root / "out", options=OPTIONS[slug](**options))
    assert report.complete, str(report)
    return report


@pytest.mark.parametrize("slug", OPTIONS)
def test_a_textured_walk_without_depth_gets_it_from_its_pictures(slug, tmp_path):
    # Map-free without a model, so that points are found first; DL3DV with the points of its model
    walk = textured_walk()
    folder = write(slug, tmp_path / "raw", walk)
    convert(slug, tmp_path, mvs=Mvs.sweep)
    found = depths(tmp_path / "out", folder)
    assert len(found) == len(walk)
    for depth, frame in zip(found, walk, strict=True):
        known = depth > 0
        errors = (np.abs(depth - frame.depth) / frame.depth)[known]
        assert known.mean() > 0.45 and np.median(errors) < 0.005 and (errors > 0.05).mean() < 0.01
    assert np.mean([(depth > 0).mean() for depth in found]) > 0.55
    assert verify(slug, tmp_path / "out", converter=CONVERTERS[slug]).problems == []
    dataset = PROCESSED[slug](tmp_path / "out", split="all", num_views=2, sizes=[(32, 32)])
    assert [len(scene.frames) for scene in dataset.scenes] == [len(walk)]
    assert not list((tmp_path / "out/.stereo").rglob("*.npy")), "nothing stays of the work"


def test_an_interrupted_run_goes_on_with_the_same_result(tmp_path, monkeypatch):
    folder = write("dl3dv", tmp_path / "raw", textured_walk(size=SMALL, frames=4))
    sweep, swept = cut3r.data.stereo.sweep, []

    def killed(*arguments):
        swept.append(arguments)
        if len(swept) == 3:
            raise KeyboardInterrupt
        return sweep(*arguments)

    monkeypatch.setattr(cut3r.data.stereo, "sweep", killed)
    with pytest.raises(KeyboardInterrupt):
        convert("dl3dv", tmp_path, mvs=Mvs.sweep)
    convert("dl3dv", tmp_path, mvs=Mvs.sweep)
    assert len(swept) == 5, "two pictures were done, one was lost, and two were left"
    whole = depths(tmp_path / "out", folder)
    shutil.rmtree(tmp_path / "out")
    convert("dl3dv", tmp_path, mvs=Mvs.sweep)
    for depth, same in zip(whole, depths(tmp_path / "out", folder), strict=True):
        np.testing.assert_array_equal(depth, same)


def test_what_was_made_with_stereo_is_noticed_by_a_run_without_it_and_the_other_way_around(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    folder = write("mapfree", raw, textured_walk(size=SMALL, frames=4))
    convert("mapfree", tmp_path, mvs=Mvs.off)
    assert not depths(out, folder)
    assert not make_plan(CONVERTERS["mapfree"], raw, out, options=DepthOptions(mvs=Mvs.off)).due
    assert len(make_plan(CONVERTERS["mapfree"], raw, out, options=DepthOptions(mvs=Mvs.sweep)).due) == 1
    convert("mapfree", tmp_path, mvs=Mvs.sweep)
    assert len(depths(out, folder)) == 4
    convert("mapfree", tmp_path, mvs=Mvs.off)
    assert not depths(out, folder), "what was computed goes; what somebody has put there would stay"


def test_depth_that_is_there_is_not_computed_and_confirms_what_is(tmp_path):
    walk = textured_walk(size=SMALL, frames=4)
    folder = write("mapfree", tmp_path / "raw", walk)
    convert("mapfree", tmp_path, mvs=Mvs.off)
    for number in (0, 1, 3):
        path = tmp_path / "out" / folder / "depth" / f"frame_{number:05d}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, walk[number].depth)
    convert("mapfree", tmp_path, mvs=Mvs.sweep)
    found = depths(tmp_path / "out", folder)
    for number in (0, 1, 3):
        np.testing.assert_array_equal(found[number], walk[number].depth)
    known = found[2] > 0
    assert known.mean() > 0.25 and np.median(np.abs(found[2] / walk[2].depth - 1)[known]) < 0.01
    made = json.loads((tmp_path / "out/.stereo" / folder / "computed.json").read_text())
    assert list(made["frames"]) == ["frame_00002"]


def test_stereo_of_the_download_takes_the_place_of_ours(tmp_path):
    walk = textured_walk(size=SMALL, frames=4)
    folder = write("dl3dv", tmp_path / "raw", walk)
    convert("dl3dv", tmp_path, mvs=Mvs.sweep)
    for number, frame in enumerate(walk, start=1):
        path = tmp_path / "raw" / folder / f"stereo/depth_maps/frame_{number:05d}.png.geometric.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_dense_map(path, frame.depth)
    convert("dl3dv", tmp_path, mvs=Mvs.off)
    for depth, frame in zip(depths(tmp_path / "out", folder), walk, strict=True):
        np.testing.assert_array_equal(depth, frame.depth)


def write_with_model(root, walk):
    """Map-free with a model of COLMAP; give the depth by the names of the photos."""
    write_mapfree(root / "raw", walk)
    model, k = root / "raw/colmap/s00000/seq0", walk[0].intrinsics
    parameters = [k[0, 0], k[1, 1], k[0, 2] + 0.5, k[1, 2] + 0.5]
    names = [f"seq0/frame_{number:05d}.jpg" for number in range(len(walk))]
    images = [(name, 1, np.linalg.inv(frame.world_from_cam)) for name, frame in zip(names, walk, strict=True)]
    write_model(model, {1: ("PINHOLE", walk[0].size, parameters)}, images)
    write_points(model / "points3D.bin", walk)
    return {name: frame.depth for name, frame in zip(names, walk, strict=True)}


def test_colmap_computes_depth_where_it_can(tmp_path, monkeypatch):
    walk = textured_walk(size=SMALL, frames=3)
    truth = fake_colmap.install(tmp_path, write_with_model(tmp_path, walk), monkeypatch)
    options = DepthOptions()
    assert options.by_colmap and as_json(options)["stereo"] == "colmap"
    convert("mapfree", tmp_path)
    for depth, frame in zip(depths(tmp_path / "out", "s00000/dense0"), walk, strict=True):
        np.testing.assert_array_equal(depth, frame.depth)
    calls = (truth / "calls.txt").read_text().splitlines()
    undistort, stereo = (next(call for call in calls if call.startswith(name)) for name in ("image", "patch"))
    assert f"--image_path {tmp_path}/raw/train/s00000 --input_path {tmp_path}/raw/colmap/s00000/seq0" in undistort
    assert "--PatchMatchStereo.cache_size 512 --PatchMatchStereo.geom_consistency true" in stereo
    assert (tmp_path / "raw/colmap/s00000/seq0/points3D.bin").is_file() and not list((tmp_path / "raw").rglob("stereo"))
    assert not list((tmp_path / "out/.stereo").rglob("*.bin")), "the workspace is removed, what it links to is not"


def test_colmap_that_fails_is_quoted_and_goes_on_where_it_was(tmp_path, monkeypatch):
    truth = fake_colmap.install(tmp_path, write_with_model(tmp_path, textured_walk(size=SMALL, frames=3)), monkeypatch)
    (truth / "fail").touch()
    report = run(CONVERTERS["mapfree"], tmp_path / "raw", tmp_path / "out", options=DepthOptions())
    assert "colmap patch_match_stereo has ended with 1: out of memory" in report.failures[0].reason
    (truth / "fail").unlink()
    report = run(CONVERTERS["mapfree"], tmp_path / "raw", tmp_path / "out", options=DepthOptions(), retry_failed=True)
    calls = (truth / "calls.txt").read_text()
    assert report.complete and calls.count("image_undistorter") == 1 and calls.count("patch_match_stereo") == 2


def test_colmap_without_cuda_is_not_used_and_refused_if_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert DepthOptions().stereo == "sweep 1" and "no program colmap" in colmap_missing()
    fake_colmap.install(tmp_path, {}, monkeypatch, cuda="without")
    assert DepthOptions().stereo == "sweep 1"
    with pytest.raises(ValueError, match=r"--mvs colmap is not possible here: .*COLMAP 3\.9\.1.* without CUDA"):
        DepthOptions(mvs=Mvs.colmap)


def test_masks_of_the_sky_come_with_the_option_and_go_with_it(tmp_path):
    walk = textured_walk(size=SMALL, frames=3)
    for frame in walk:
        frame.rgb[:14] = 90, 150, 230
    folder = write("mapfree", tmp_path / "raw", walk)
    convert("mapfree", tmp_path, mvs=Mvs.off, sky=Sky.detect)
    masks = sorted((tmp_path / "out" / folder / "sky_mask").glob("*.jpg"))
    assert len(masks) == 3
    folder = write("dl3dv", tmp_path / "dl3dv/raw", walk)
    convert("dl3dv", tmp_path / "dl3dv", mvs=Mvs.sweep, sky=Sky.detect)
    dataset = PROCESSED["dl3dv"](tmp_path / "dl3dv/out", split="all", num_views=2, sizes=[(32, 32)])
    sky = dataset.read(dataset.scenes[0], 1).depth < 0
    assert sky[:12].mean() > 0.9 and not sky[18:].any()
    convert("mapfree", tmp_path, mvs=Mvs.off)
    assert not list((tmp_path / "out").rglob("sky_mask/*.jpg"))
