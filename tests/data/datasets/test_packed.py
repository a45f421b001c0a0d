"""Every dataset, packed: the reader finds that by itself, and its samples are those of the folder, bit for bit."""

import pytest
import torch

from cut3r.data.datasets import PROCESSED
from cut3r.files.packed_path import PackedPath
from datasets_preprocess import CONVERTERS
from datasets_preprocess.pack import pack
from tests.data.datasets.recorded import RECORDED, make_folders_beside, meta, open_parity, unpack
from tests.data.datasets.test_indexes import contents

SHARD_GB = 100_000 / (1 << 30)  # so that the small folders make several shards


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("packed")


@pytest.fixture
def places(folder, request):
    """A processed folder, and what it was packed into."""
    slug = request.param
    plain, packed = unpack(slug, "processed", folder), folder / slug / "packed"
    make_folders_beside(slug, packed)
    assert pack(CONVERTERS[slug], plain, packed, shard_gb=SHARD_GB).complete
    return slug, plain, packed


def assert_same(ours, theirs):
    for view, other in zip(ours, theirs, strict=True):
        assert view.label == other.label
        for name, tensor in view.tensors().items():
            assert torch.equal(tensor, getattr(other, name)), f"{name} of {view.label} differs"


@pytest.mark.parametrize("places", RECORDED, indirect=True)
def test_a_packed_set_gives_the_samples_of_its_folder(places):
    slug, plain, packed = places
    ours, theirs = (PROCESSED[slug](root, split="all", num_views=1, sizes=[(48, 64)]) for root in (packed, plain))
    assert isinstance(ours.root, PackedPath) and not isinstance(theirs.root, PackedPath)
    assert [str(contents(scene)) for scene in ours.scenes] == [str(contents(scene)) for scene in theirs.scenes]
    for index in range(0, len(ours), max(1, len(ours) // 3)):
        assert_same(ours[index], theirs[index])
    case = meta(slug)["cases"][0]
    ours, theirs = (open_parity(slug, root, case) for root in (packed, plain))
    assert_same(ours[case["indices"][0]], theirs[case["indices"][0]])
