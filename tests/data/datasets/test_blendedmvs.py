import numpy as np
import pytest

from cut3r.data.datasets.blendedmvs import BlendedMvs, RestartingWalkPolicy, reachable
from cut3r.data.layout import read_npz
from cut3r.data.sampling import Wanted
from cut3r.data.scene import Graph, Scene
from datasets_preprocess.blendedmvs import CONVERTER, read_camera
from datasets_preprocess.runner import RawScene, Writer, run
from tests.data.datasets.raw_walks.blendedmvs import NAME, write

LAYOUT = BlendedMvs.layout


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("blendedmvs")
    write(root / "raw")
    (root / "raw/README").write_text("no scene")
    (root / "raw" / NAME / "blended_images/00000000_masked.jpg").write_bytes(b"not read")
    assert run(CONVERTER, root / "raw", root / "out").complete
    return root


def test_neighbours_are_measured_where_nobody_publishes_them(folders):
    # quirk 2: how the original's scores were made is not known
    frames, indices, values = read_npz(LAYOUT.path(folders / "out", "overlap", NAME), "basenames", "indices", "values")
    assert frames.tolist() == ["00000000", "00000001", "00000002"]
    assert sorted(zip(*indices.tolist(), strict=True)) == [(i, j) for i in range(3) for j in range(3) if i != j]
    assert values.min() > 0.5, "neighbouring frames of a slow walk"
    dataset = BlendedMvs(folders / "out", num_views=3, sizes=[(48, 64)])
    assert len(dataset) == 3 and len({view.label for view in dataset[0]}) == 3


def test_what_is_missing_or_damaged_is_named(tmp_path):
    write(tmp_path / "raw")
    folder = tmp_path / "raw" / NAME
    (folder / "cams/00000000_cam.txt").write_text("extrinsic\n1 0 0\n")
    (folder / "rendered_depth_maps/00000002.pfm").unlink()
    rows = [(int(NAME[:8], 16), int(NAME[8:], 16), 1, 7, 0.5)]
    kinds = [("seq_high", "<u4"), ("seq_low", "<u8"), ("img1", "<i4"), ("img2", "<i4"), ("score", "<f4")]
    np.save(tmp_path / "raw/blendedmvs_pairs.npy", np.array(rows, kinds))
    writer = Writer(tmp_path / "out", LAYOUT)
    assert CONVERTER.convert(tmp_path / "raw", RawScene(NAME), writer) == ["00000001"]
    assert "00000000_cam.txt cannot be read" in writer.left_out["00000000"]
    assert "00000002.pfm" in writer.left_out["00000002"]
    assert "blendedmvs_pairs.npy names it" in writer.left_out["00000007"]


def test_published_overlaps_count_more_than_ours(tmp_path):
    h5py = pytest.importorskip("h5py")
    write(tmp_path / "raw")
    with h5py.File(tmp_path / "raw/new_overlap.h5", "w") as file:
        group = file.create_group(NAME)
        group["basenames"] = np.array([b"00000002", b"00000001"])
        group["indices"] = np.array([[1, 0], [0, 1]])
        group["values"] = np.array([0.7, 0.15], np.float32)
    assert run(CONVERTER, tmp_path / "raw", tmp_path / "out").complete
    scene = next(iter(BlendedMvs(tmp_path / "out", num_views=1, sizes=[(48, 64)]).scenes))
    assert list(scene.frames) == ["00000002", "00000001"]
    assert scene.graph.of(1)[0].tolist() == [0] and scene.graph.of(1)[1][0] == pytest.approx(0.5)
    assert not len(scene.graph.of(0)[0]), "0.15 is less than neighbours need"


@pytest.mark.parametrize("text", ["", "extrinsic\n", "intrinsic\n1 0 0\n", "extrinsic\n" + "a b c d\n" * 4])
def test_a_damaged_camera_is_refused_by_name(tmp_path, text):
    (tmp_path / "0_cam.txt").write_text(text)
    with pytest.raises(ValueError, match=r"0_cam\.txt cannot be read"):
        read_camera(tmp_path / "0_cam.txt")


def test_parity_starts_again_beside_a_frame_without_neighbours():
    pairs = [(i, j, 1.0) for i in range(5) for j in range(5) if i != j]
    scene = Scene("a", tuple("abcdef"), graph=Graph.from_pairs(6, np.array(pairs)))
    policy, wanted = RestartingWalkPolicy(), Wanted(4, 4)
    assert policy.entries(scene, wanted) == 6, "every frame is an entry"
    starts = {policy.choose(scene, 5, wanted, np.random.default_rng(seed)).positions[0] for seed in range(9)}
    assert starts == {0, 4}, "the next one on either side"
    with pytest.raises(ValueError, match="0 of 6 frames begin no walk of 7 views"):
        policy.choose(scene, 0, Wanted(7, 7, allow_repeat=True), np.random.default_rng(0))
    lonely = Scene("b", tuple("abcdef"), graph=Graph.from_pairs(6, np.array([(0, 1, 1.0), (1, 0, 1.0)])))
    with pytest.raises(ValueError, match="3 of 6 frames begin no walk"):
        policy.choose(lonely, 3, wanted, np.random.default_rng(0))


def test_ways_have_a_direction():
    graph = Graph.from_pairs(4, np.array([(0, 1, 1.0), (1, 2, 1.0), (3, 0, 1.0)]))
    assert [reachable(graph, start) for start in range(4)] == [{0, 1, 2}, {1, 2}, {2}, {0, 1, 2, 3}]
