"""`try` and `verify` name the convention that a converter has got wrong; a trial keeps nothing but its picture."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cut3r.data.datasets.tartanair import LAYOUT
from cut3r.data.layout import write_npz
from datasets_preprocess import CONVERTERS
from datasets_preprocess.__main__ import main
from datasets_preprocess.runner import LeftOut
from datasets_preprocess.trial import try_out
from datasets_preprocess.verify import verify
from tests.data.datasets.raw_walks import render_walk

SCENE = "house/Easy/P000"
SIZE = (96, 128)
OWN = np.array([[102.0, 0, 62.0], [0, 105.0, 48.5], [0, 0, 1]])


@pytest.fixture(scope="module")
def frames():
    return render_walk(SIZE, OWN, frames=12, seed=3, speed=1.0)


def write_processed(root, frames, change=lambda frame: frame):
    """A processed walk as a converter would leave it that makes a mistake."""
    for number, frame in enumerate(map(change, frames)):
        name = f"{number:06d}"
        for kind in ("rgb", "depth", "camera"):
            LAYOUT.path(root, kind, SCENE, name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(frame.rgb).save(LAYOUT.path(root, "rgb", SCENE, name))
        np.save(LAYOUT.path(root, "depth", SCENE, name), frame.depth)
        camera = {"camera_pose": frame.world_from_cam, "camera_intrinsics": frame.intrinsics}
        write_npz(LAYOUT.path(root, "camera", SCENE, name), **camera)


def ray_lengths(frame):
    v, u = np.mgrid[: frame.size[0], : frame.size[1]]
    (fx, fy), (cx, cy) = frame.intrinsics.diagonal()[:2], frame.intrinsics[:2, 2]
    return np.sqrt(((u - cx) / fx) ** 2 + ((v - cy) / fy) ** 2 + 1)


def swapped(intrinsics):
    result = intrinsics[[1, 0, 2]][:, [1, 0, 2]].copy()
    return result


def shifted(intrinsics):
    moved = intrinsics.copy()
    moved[:2, 2] += 0.5
    return moved


MISTAKES = {
    "inverted": (lambda f: replace(f, world_from_cam=np.linalg.inv(f.world_from_cam)), "invert"),
    "opengl": (lambda f: replace(f, world_from_cam=f.world_from_cam @ np.diag([1.0, -1, -1, 1])), "OpenGL"),
    "along the ray": (lambda f: replace(f, depth=(f.depth * ray_lengths(f)).astype(np.float32)), "along the ray"),
    "scale": (lambda f: replace(f, depth=f.depth * np.float32(10)), "scale|unit|times"),
    "half a pixel": (lambda f: replace(f, intrinsics=shifted(f.intrinsics)), "half a pixel"),
    "transposed": (lambda f: replace(f, intrinsics=swapped(f.intrinsics)), "transposed|swapped"),
}


def test_what_is_right_passes(frames, tmp_path):
    write_processed(tmp_path, frames)
    verification = verify("tartanair", tmp_path)
    assert verification.problems == []
    assert "the conventions fit" in str(verification) and SCENE in str(verification)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_wrong_convention_is_named(frames, tmp_path, mistake):
    change, pattern = MISTAKES[mistake]
    write_processed(tmp_path, frames, change)
    problems = verify("tartanair", tmp_path).problems
    assert len(problems) == 1, problems
    assert re.search(pattern, problems[0]), problems[0]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_trial_names_it_too(frames, tmp_path, mistake):
    change, pattern = MISTAKES[mistake]
    raw_walk(tmp_path / "raw")

    def convert(raw, scene, writer):
        write_processed(writer.out, frames, change)
        return [f"{number:06d}" for number in range(len(frames))]

    trial = try_out(replace(CONVERTERS["tartanair"], convert=convert), tmp_path / "raw", tmp_path / "sheet.png")
    assert len(trial.proof.problems) == 1 and re.search(pattern, trial.proof.problems[0])
    assert trial.proof.problems[0] in str(trial)


def test_a_pose_that_jumps_is_shown(frames, tmp_path):
    strange = frames[6].world_from_cam.copy()
    strange[0, 3] += 5
    write_processed(tmp_path, [replace(f, world_from_cam=strange) if i == 6 else f for i, f in enumerate(frames)])
    assert "frame 000006 jumps" in str(verify("tartanair", tmp_path))


def raw_walk(raw):
    import tests.data.datasets.raw_walks.tartanair as walk

    walk.write(raw)


def test_a_trial_shows_pictures_and_costs_and_keeps_nothing_else(tmp_path, capsys):
    raw_walk(tmp_path / "raw")
    before = sorted(tmp_path.rglob("*"))
    sheet = tmp_path / "sheet.png"
    trial = try_out(CONVERTERS["tartanair"], tmp_path / "raw", sheet)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, sheet])
    with Image.open(sheet) as image:
        assert image.size[0] > 1000
    text = str(trial)
    assert "1 scenes, 1 tried: 3 frames, 0 failed" in text and "the conventions fit" in text
    assert "per frame 1.49 MB" in text and "look at" in text


def test_a_trial_names_what_fails(tmp_path):
    raw_walk(tmp_path / "raw")

    def convert(raw, scene, writer):
        raise LeftOut("it is upside down")

    trial = try_out(replace(CONVERTERS["tartanair"], convert=convert), tmp_path / "raw", tmp_path / "sheet.png")
    assert "house/Easy/P000: it is upside down" in str(trial) and trial.sheet is None


def test_a_trial_of_nothing_is_an_error(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="download tartanair first"):
        try_out(CONVERTERS["tartanair"], tmp_path / "absent", tmp_path / "sheet.png")
    assert main(["try", "tartanair", "--raw", str(tmp_path)]) == 2
