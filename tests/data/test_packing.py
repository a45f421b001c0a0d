from dataclasses import fields
from itertools import pairwise

import psutil
import pytest
import torch
from torch import Tensor

from cut3r.data.loader import Loader, LoaderConfig
from cut3r.data.mixture import Mixture, Part
from cut3r.data.packing import ALIGNMENT, pack
from cut3r.data.view import View
from tests.data.toy_dataset import Toy, Walker

TENSORS = [field.name for field in fields(View) if field.name != "label"]


@pytest.mark.parametrize("shared", [False, True])
def test_each_view_is_stacked_over_the_samples(shared):
    toy = Walker()
    samples = [toy[0], toy[1]]
    views = pack(samples, shared=shared).unpack()
    assert len(views) == 4
    assert views[1].image.shape == (2, 3, 24, 32) and views[1].has_image.shape == (2,)
    assert views[1].label == ["Toy/scene0/1", "Toy/scene0/2"]
    for number, view in enumerate(views):
        for name in TENSORS:
            wanted = torch.stack([getattr(sample[number], name) for sample in samples])
            packed = getattr(view, name)
            assert packed.dtype == wanted.dtype and torch.equal(packed, wanted), name


def test_all_tensors_lie_in_one_piece_of_memory_on_cache_lines():
    toy = Walker()
    batch = pack([toy[0], toy[1], toy[2]], shared=True)
    assert batch.memory.is_shared()
    tensors: list[Tensor] = [getattr(view, name) for view in batch.unpack() for name in TENSORS]
    assert {tensor.untyped_storage().data_ptr() for tensor in tensors} == {batch.memory.untyped_storage().data_ptr()}
    assert all((tensor.data_ptr() - batch.memory.data_ptr()) % ALIGNMENT == 0 for tensor in tensors)
    assert sum(tensor.nbytes for tensor in tensors) <= batch.memory.nbytes
    spans = sorted((tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes) for tensor in tensors)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans)), "tensors overlap"


def test_batches_from_a_worker_keep_few_files_open():
    mixture = Mixture([Part(Toy(frames=(40,), num_views=30, sizes=[(16, 16)]), 8)])
    config = LoaderConfig(batch_size=1, num_workers=1, min_views=30)
    batches = Loader(mixture, config).batches(0)
    kept = [next(batches)]
    before = psutil.Process().num_fds()
    kept += [next(batches) for _ in range(3)]  # 3 batches of 30 views: 1,440 tensors
    assert psutil.Process().num_fds() - before < 30
    assert all(view.image.shape == (1, 3, 16, 16) for views in kept for view in views)
