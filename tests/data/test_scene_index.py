import errno
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from cut3r.data.card import Card
from cut3r.data.layout import Layout
from cut3r.data.made import Made, read_made, write_made
from cut3r.data.processed import ProcessedDataset
from cut3r.data.sampling import SamplingPolicy
from cut3r.data.scene import Graph, Scene
from cut3r.data.scene_index import SceneIndex, write_index
from cut3r.files.mapped import write_mapped
from tests.data.toy_dataset import toy_frame

GRAPH = Graph.from_pairs(3, np.array([[0, 1, 0.5], [2, 0, 0.25]]))
SCENES = [
    Scene("a", ("0", "1", "2"), graph=GRAPH, anchors=[2, 0], tracks=[0, 0, 1]),
    Scene("b/é", (), folder="elsewhere", split="test", policy="slow", facts={"camera": 4, "k": [1.5, None]}),
    Scene("c", ("x",), split="train"),
]


def listed(scene):
    graph = None if scene.graph is None else [part.tolist() for part in vars(scene.graph).values()]
    lists = [None if part is None else list(part) for part in (scene.frames, scene.anchors, scene.tracks)]
    return (scene.name, scene.folder, scene.split, scene.policy, dict(scene.facts), graph, lists)


@pytest.mark.parametrize("scenes", [SCENES, SCENES[1:], SCENES[1:2], []])
def test_scenes_come_back(tmp_path, scenes):
    write_index(tmp_path / "index.npz", scenes, "x")
    index = SceneIndex(tmp_path / "index.npz")
    assert [listed(scene) for scene in index] == [listed(scene) for scene in scenes]
    assert index.lengths.tolist() == [len(scene.frames) for scene in scenes]
    again = pickle.loads(pickle.dumps(index))
    assert [listed(scene) for scene in again] == [listed(scene) for scene in scenes]


def test_frames_are_a_sequence(tmp_path):
    write_index(tmp_path / "index.npz", SCENES, "x")
    frames = SceneIndex(tmp_path / "index.npz")[0].frames
    assert frames[-1] == "2" and frames[:2] == ["0", "1"] and list(frames) == ["0", "1", "2"]
    with pytest.raises(IndexError, match="no number 3"):
        frames[3]


@pytest.mark.parametrize("content", [b"", b"PK", b"not an archive" * 100])
def test_a_damaged_index_says_what_to_do(tmp_path, content):
    (tmp_path / "index.npz").write_bytes(content)
    with pytest.raises(ValueError, match="remove it, and it is made again"):
        SceneIndex(tmp_path / "index.npz")


class Flats(ProcessedDataset):
    card = Card("flats", "Flats", "Flats", "https://example.org", "CC0", "walls", metric=True, corner_shift=-0.5)
    layout = Layout({"rgb": "{scene}/{frame}.jpg"})
    splits = ("train", "test")
    policy = SamplingPolicy(max_interval=3)
    listings = 0

    def list_scenes(self):
        type(self).listings += 1
        for folder in sorted(path for path in self.root.iterdir() if path.is_dir()):
            split = "test" if folder.name.startswith("t") else "train"
            yield Scene(folder.name, self.layout.frames(self.root, "rgb", folder.name), split=split)

    def read(self, scene, position):
        return toy_frame(position)


def flats(root, **options):
    return Flats(root, **{"num_views": 2, "sizes": [(24, 32)], **options})


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(Flats, "listings", 0)
    for name in ("a", "b", "t"):
        (tmp_path / name).mkdir()
        for i in range(4):
            (tmp_path / name / f"{i}.jpg").touch()
    return tmp_path


def test_scenes_are_listed_once_for_all_splits(root):
    assert [scene.name for scene in flats(root).scenes] == ["a", "b"]
    assert [scene.name for scene in flats(root, split="test").scenes] == ["t"]
    assert [scene.name for scene in flats(root, split="all").scenes] == ["a", "b", "t"]
    assert Flats.listings == 1
    assert [len(flats(root, split=split)) for split in ("train", "test", "all")] == [6, 3, 9]


def test_a_new_scene_or_a_damaged_index_is_noticed(root, caplog):
    flats(root)
    (root / "c").mkdir()
    for i in range(2):
        (root / "c" / f"{i}.jpg").touch()
    assert [scene.name for scene in flats(root).scenes] == ["a", "b", "c"]
    (root / "index.npz").write_bytes(b"PK\x03\x04")
    assert len(flats(root).scenes) == 3 and "made again" in caplog.text


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_to_is_read_all_the_same(root, monkeypatch, caplog, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("cut3r.data.processed.write_index", refuse)
    assert len(flats(root).scenes) == 2 and not (root / "index.npz").exists()
    assert f"({os.strerror(number)}), so scenes are listed each time" in caplog.text


def test_a_read_only_mount_is_read_all_the_same(root, monkeypatch):
    """Where even the lock cannot be made."""

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("cut3r.files.locks.os.open", refuse)
    assert len(flats(root).scenes) == 2


def test_a_folder_that_cannot_be_listed_is_an_error(root, monkeypatch):
    def lost(self):
        raise OSError(errno.EIO, "the disk is gone")

    monkeypatch.setattr(Flats, "list_scenes", lost)
    with pytest.raises(OSError, match="the disk is gone"):
        flats(root)


def test_parity_lists_the_scenes_itself(root):
    assert len(flats(root, parity=True).scenes) == 2 and not (root / "index.npz").exists()


def test_an_unknown_split_is_named(root):
    with pytest.raises(ValueError, match=r"has no split 'val'; it has \('train', 'test', 'all'\)"):
        flats(root, split="val")


K = np.array([[50.0, 0, 32], [0, 50.0, 24], [0, 0, 1]])


def test_files_of_the_original_are_moved_to_pixel_centres_and_ours_are_not(root):
    assert flats(root).centred(K)[:2, 2].tolist() == [31.5, 23.5]
    assert flats(root, parity=True).centred(K) is K
    write_made(root, Made("flats", 1))
    assert flats(root).centred(K) is K
    write_made(root, Made("flats", 1, "corner", parity=True))
    assert flats(root).centred(K)[:2, 2].tolist() == [31.5, 23.5]


def test_a_folder_of_another_dataset_is_refused(root):
    write_made(root, Made("other", 1))
    with pytest.raises(ValueError, match="was made by the converter of other; expected flats"):
        flats(root)


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"converter": "flats"}', '{"converter": "a", "version": 1, "pixel_centre": "x"}']
)
def test_a_damaged_record_of_the_converter_is_named(tmp_path, content):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(ValueError, match=r"dataset\.json cannot be read"):
        read_made(tmp_path)


def test_what_frames_of_a_scene_share_is_read_once(root):
    seen = []

    class Sharing(Flats):
        def scene_data(self, scene):
            seen.append(scene.name)
            return len(seen)

    dataset = Sharing(root, num_views=2, sizes=[(24, 32)])
    first, second = dataset.scenes
    assert [dataset.data_of(scene) for scene in (first, first, second, first)] == [1, 1, 2, 1]
    assert seen == ["a", "b"]
    assert pickle.loads(pickle.dumps(flats(root)))._kept == {}


OPEN = """
import json, resource, sys, time
from pathlib import Path
from tests.data.test_scene_index import Flats
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
dataset = Flats(Path(sys.argv[1]), num_views=4, sizes=[(24, 32)])
seconds = time.process_time() - start
scene = dataset.scenes[123456]
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([len(dataset), scene.name, scene.frames[99], seconds, grown]))
"""


def test_two_hundred_thousand_scenes_open_at_once(tmp_path):
    _write_uniform(tmp_path / "index.npz", np.arange(200_000), 100, "x")
    program = OPEN.replace("dataset =", "import cut3r.data.processed as p; p.fingerprint_of = lambda _: 'x'\ndataset =")
    result = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    count, name, frame, seconds, grown_kb = json.loads(result.stdout)
    assert (count, name, frame) == (200_000 * 97, "123456", "99")
    assert grown_kb < 100_000, "the memory of a worker"
    assert seconds < 20, "a second on an idle machine; this is not a list of a hundred thousand folders"


def _write_uniform(path, numbers, frames, made_from):
    """The index that `write_index` makes of so many equal scenes, without making them."""
    write_index(path, [Scene("000000", tuple(map(str, range(frames))), split="train")], made_from)
    index = SceneIndex(path)
    arrays = dict(index._arrays)
    count = len(numbers)
    arrays["scene_ends"] = frames * (numbers + 1)
    for kind, width in (("name", 6), ("folder", 0), ("facts", 0)):
        arrays[f"{kind}_ends"] = width * (numbers + 1)
    arrays["name_letters"] = np.frombuffer("".join(f"{i:06d}" for i in numbers).encode(), np.uint8)
    letters, ends = np.array(arrays["frame_letters"]), np.array(arrays["frame_ends"])
    arrays["frame_letters"] = np.tile(letters, count)
    arrays["frame_ends"] = (ends + len(letters) * numbers[:, None]).reshape(-1)
    for kind in ("split", "policy"):
        arrays[kind] = np.zeros(count, np.int16)
    write_mapped(path, **arrays)
