from dataclasses import fields
from itertools import pairwise

import psutil
import pytest
import torch
from torch import Tensor

from cut3r.data.dataset import Request
from cut3r.data.loader import Loader, LoaderConfig
from cut3r.data.mixture import Mixture, Part
from cut3r.data.packing import ALIGNMENT, pack
from cut3r.data.view import CompactView, View
from tests.data.toy_dataset import Toy, Walker

TENSORS = [field.name for field in fields(View) if field.name != "label"]
TRAVEL = [field.name for field in fields(CompactView) if field.name not in ("label", "include_translation")]


def compact(toy, *indices, size=(24, 32)):
    return [toy.compact(Request(index, size, toy.num_views)) for index in indices]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("include_translation", [False, True])
def test_a_batch_that_has_travelled_is_the_stacked_samples_to_the_bit(shared, include_translation):
    toy = Walker(include_translation=include_translation, aug_crop=8)
    samples = [toy[0], toy[1]]
    views = [view.to("cpu") for view in pack(compact(toy, 0, 1), shared=shared).unpack()]
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
    batch = pack(compact(toy, 0, 1, 2), shared=True)
    assert batch.memory.is_shared()
    tensors: list[Tensor] = [getattr(view, name) for view in batch.unpack() for name in TRAVEL]
    assert {tensor.untyped_storage().data_ptr() for tensor in tensors} == {batch.memory.untyped_storage().data_ptr()}
    assert all((tensor.data_ptr() - batch.memory.data_ptr()) % ALIGNMENT == 0 for tensor in tensors)
    assert sum(tensor.nbytes for tensor in tensors) <= batch.memory.nbytes
    spans = sorted((tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes) for tensor in tensors)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans)), "tensors overlap"


def test_a_pixel_travels_as_seven_bytes():
    size = (96, 128)  # the rest, matrices and flags of each view, is little
    batch = pack(compact(Toy(sizes=[size]), 0, 1, size=size), shared=False)
    assert 7 <= batch.memory.nbytes / (2 * 4 * 96 * 128) < 7.2, "2 samples of 4 views"


def test_batches_from_a_worker_keep_few_files_open():
    mixture = Mixture([Part(Toy(frames=(40,), num_views=30, sizes=[(16, 16)]), 8)])
    config = LoaderConfig(batch_size=1, num_workers=1, min_views=30)
    batches = Loader(mixture, config).batches(0)
    kept = [next(batches)]
    before = psutil.Process().num_fds()
    kept += [next(batches) for _ in range(3)]  # 3 batches of 30 views: 990 tensors
    assert psutil.Process().num_fds() - before < 30
    assert all(view.rgb.shape == (1, 16, 16, 3) for views in kept for view in views)
