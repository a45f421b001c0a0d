"""The index of every dataset: made once, from then on used, and it holds what the reader has listed."""

import pickle

import numpy as np
import pytest

from cut3r.data.dataset import NoScenesError
from cut3r.data.datasets import PROCESSED
from cut3r.data.processed import ALL
from tests.data.datasets.recorded import RECORDED, unpack


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("indexes")


def contents(scene):
    graph = None if scene.graph is None else [np.asarray(part).tolist() for part in vars(scene.graph).values()]
    lists = [None if part is None else list(part) for part in (scene.frames, scene.anchors, scene.tracks)]
    return (scene.name, scene.path, scene.split, scene.policy, dict(scene.facts), graph, lists)


@pytest.mark.parametrize("slug", RECORDED)
def test_scenes_are_listed_once_and_come_back_from_the_index(slug, folder, monkeypatch):
    reader, root, listed = PROCESSED[slug], unpack(slug, "processed", folder), []
    list_scenes = reader.list_scenes

    def counted(self):
        scenes = list(list_scenes(self))
        listed.append(scenes)
        return scenes

    monkeypatch.setattr(reader, "list_scenes", counted)
    try:
        first, again = (reader(root, split=ALL, num_views=1, sizes=[(30, 40)]) for _ in range(2))
    except NoScenesError:
        pytest.fail("the recorded folder has scenes")
    assert len(listed) == 1, f"listed {len(listed)} times: the index was out of date at once"
    by_name = {(scene.name, scene.split, tuple(scene.frames)): scene for scene in listed[0]}
    assert len(again.scenes) > 0
    for scene in again.scenes:
        ours, theirs = contents(scene), contents(by_name[scene.name, scene.split, tuple(scene.frames)])
        if ours[5] is not None:  # weights are stored in single precision
            np.testing.assert_allclose(ours[5][2], theirs[5][2], rtol=1e-6)
            ours, theirs = ((*c[:5], c[5][:2], c[6]) for c in (ours, theirs))
        assert ours == theirs
    copy = pickle.loads(pickle.dumps(first))
    assert len(copy) == len(first)
    one, other = (dataset.read(dataset.scenes[0], 0) for dataset in (first, copy))
    assert np.array_equal(one.rgb, other.rgb) and np.array_equal(one.depth, other.depth)
