"""Walks through synthetic rooms as an evaluation set."""

import numpy as np
import pytest
import torch

from cut3r.data.synthetic import HELD_OUT_SEED, synthetic_walk
from cut3r.io.images import read_image
from eval.sequences import open_set
from tests.eval.small_rooms import small_rooms  # noqa: F401

pytestmark = pytest.mark.usefixtures("small_rooms")


def test_the_truth_is_that_of_the_renderer_bit_for_bit(tmp_path, small_rooms):  # noqa: F811
    sequences = open_set("mv_recon", "rooms", tmp_path)
    assert [sequence.name for sequence in sequences] == ["walk_0", "walk_1"]
    walk, sequence = synthetic_walk(HELD_OUT_SEED, 1, small_rooms), sequences[1]
    for row, frame in enumerate((0, 5)):
        assert (read_image(sequence.images[row]) == walk.rgb[frame].numpy()).all()
        assert (sequence.read_depth(row) == walk.depth[frame].numpy()).all()
        assert (sequence.world_from_cam[row] == walk.world_from_cam[frame].double().numpy()).all()
        assert (sequence.intrinsics[row] == walk.intrinsics[frame].double().numpy()).all()
    np.testing.assert_allclose(sequence.times_s, (0.0, 0.5))


@pytest.mark.parametrize(
    ("protocol", "frames"), [("monodepth", 2), ("video_depth", 10), ("relpose", 10), ("mv_recon", 2)]
)
def test_all_protocols_have_it(tmp_path, protocol, frames):
    assert [len(sequence) for sequence in open_set(protocol, "rooms", tmp_path)] == [frames, frames]


def test_it_is_rendered_once_and_a_killed_rendering_is_made_anew(tmp_path):
    home = open_set("relpose", "rooms", tmp_path)[0].images[0].parents[2]
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*.*")}
    open_set("relpose", "rooms", tmp_path)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    (home / "walk_1").rename(home / ".walk_1")  # as a killed run leaves it: not all of it is there
    (home / ".walk_1" / "cameras.npz").unlink()
    again = open_set("relpose", "rooms", tmp_path)
    assert len(again[1]) == 10 and not (home / ".walk_1").exists()
    assert torch.tensor(again[0].world_from_cam).isfinite().all()


def test_a_root_that_cannot_be_written_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "rooms").write_text("a file")
    with pytest.raises(ValueError, match="choose another root=FOLDER"):
        open_set("relpose", "rooms", tmp_path)
