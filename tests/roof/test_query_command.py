"""`cut3r query` on what demo.py has written."""

import numpy as np
import pytest
import torch
from PIL import Image

import cut3r
from cut3r.inference.frame_folder import read_frame_folder
from cut3r.run.command import main
from cut3r.run.console import NO_INPUT, WRONG_ARGUMENTS
from cut3r.run.remembered import beside
from cut3r.weights import checkpoint
from tests.roof.demo_runs import contents, run_demo


@pytest.fixture
def out(weights, photos, tmp_path):
    """A finished run."""
    assert run_demo(photos, "--model_path", weights, "--output_dir", tmp_path / "out") == 0
    return tmp_path / "out"


def query(*arguments: object) -> int:
    return main(["query", *map(str, arguments), "--device", "cpu"])


def test_the_answer_is_that_of_the_session_that_ran(out, weights, photos, capfd):
    before = contents(out)
    assert query(out, "--frame", 2, "--move", 0.1, 0, -0.2, "--turn", 10, 5) == 0
    assert {name: data for name, data in contents(out).items() if not name.startswith("query/")} == before
    assert "degrees from where it was asked for" in capfd.readouterr().err

    session = cut3r.Session(checkpoint.load(weights))
    for frame in cut3r.open_frames(str(photos)):
        session.push(frame)
    frames = list(read_frame_folder(out))
    camera = beside(frames[2].world_from_cam, (0.1, 0.0, -0.2), (10.0, 5.0))
    expected = session.query(camera, torch.from_numpy(frames[2].intrinsics), (48, 64))
    with np.load(out / "query" / "camera.npz") as written:
        np.testing.assert_array_equal(written["pose"], camera.numpy())
        np.testing.assert_array_equal(written["intrinsics"], frames[2].intrinsics)
    np.testing.assert_allclose(np.load(out / "query" / "depth.npy"), expected.depth.clamp(min=0).numpy(), rtol=1e-5)
    np.testing.assert_allclose(np.load(out / "query" / "conf.npy"), expected.confidence.numpy(), rtol=1e-5)
    with Image.open(out / "query" / "color.png") as image:
        np.testing.assert_allclose(np.asarray(image).astype(int), expected.rgb.astype(int), atol=1)


def test_another_folder_and_an_answer_that_is_there(out, tmp_path, capsys):
    assert query(out, "--to", tmp_path / "view") == 0 and (tmp_path / "view" / "color.png").exists()
    assert query(out, "--to", tmp_path / "view") == WRONG_ARGUMENTS
    assert "--overwrite" in capsys.readouterr().err
    assert query(out, "--to", tmp_path / "view", "--overwrite") == 0


def lost_its_state(out):
    (out / "resume.npz").unlink()
    return []


def lost_its_network(out):
    (out.parent / "weights.safetensors").unlink()
    return []


def another_frame(_):
    return ["--frame", 99]


@pytest.mark.parametrize(
    ("case", "part"),
    [
        (lost_its_state, "resume.npz"),
        (lost_its_network, "weights.safetensors"),
        (another_frame, "no frame 99; there are 0 to 5"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(case, part, out, capsys):
    assert query(out, *case(out)) == NO_INPUT
    said = capsys.readouterr().err
    assert said.startswith("cut3r query: ") and part in said and said.count("\n") == 1
    assert not (out / "query").exists()


def test_turning_is_to_the_right_and_up_and_moving_is_along_the_axes_of_the_camera():
    start = np.eye(4, dtype=np.float32)
    ahead = torch.tensor([0.0, 0, 1, 0])
    assert (beside(start, (0.0, 0.0, 0.0), (90.0, 0.0)) @ ahead).tolist() == pytest.approx([1, 0, 0, 0], abs=1e-6)
    assert (beside(start, (0.0, 0.0, 0.0), (0.0, 90.0)) @ ahead).tolist() == pytest.approx([0, -1, 0, 0], abs=1e-6)
    turned = beside(start, (0.0, 0.0, 0.0), (90.0, 0.0)).numpy()
    assert beside(turned, (0.0, 0.0, 2.0), (0.0, 0.0))[:3, 3].tolist() == pytest.approx([2, 0, 0], abs=1e-6)
