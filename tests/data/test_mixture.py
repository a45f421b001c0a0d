import numpy as np
import pytest

from cut3r.data.dataset import Request
from cut3r.data.mixture import Mixture, Part, epoch_order
from tests.data.toy_dataset import Toy, Walker

# common.md C10, golden: a dataset of 37
FIRST_EPOCH = (
    "8 34 15 3 11 23 21 17 10 29 35 33 31 6 25 30 9 36 7 22 13 26 1 5 12 16 28 19 14 2 24 20 18 4 32 0 27 "
    "8 34 15 3 11 23 21 17 10 29 35 33 31"
)


def toy_of(length):
    return Toy(frames=(length + 3,), aug_crop=16)


def addressed(mixture, epoch, count=None):
    requests = (Request(i, (24, 32), 4, epoch) for i in range(count or len(mixture)))
    return [mixture.resolve(request) for request in requests]


def test_more_samples_than_there_are_go_round_in_the_recorded_order():
    mixture = Mixture([Part(toy_of(37), 50)])
    assert len(mixture) == 50
    assert [request.index for _, request in addressed(mixture, 0)] == [int(i) for i in FIRST_EPOCH.split()]


def test_fewer_samples_are_the_recorded_subset_of_the_epoch():
    mixture = Mixture([Part(toy_of(37), 5)])
    assert [request.index for _, request in addressed(mixture, 2)] == [30, 7, 17, 8, 4]
    assert [request.index for _, request in addressed(mixture, 3)] != [30, 7, 17, 8, 4]


def test_the_second_use_of_an_index_is_another_turn_and_another_sample():
    mixture = Mixture([Part(toy_of(37), 50)])
    first, again = addressed(mixture, 0)[0][1], addressed(mixture, 0)[37][1]
    assert (first.index, first.turn) == (8, 0)
    assert (again.index, again.turn) == (8, 1)
    margins = [[v.intrinsics[0, 0].item() for v in mixture.compact(Request(i, (24, 32), 4, 0))] for i in (0, 37)]
    assert margins[0] != margins[1]


def test_parts_follow_each_other():
    mixture = Mixture([Part(toy_of(7), 3), Part(toy_of(5)), Part(toy_of(9), 2)])
    assert len(mixture) == 10
    assert [part for part, _ in addressed(mixture, 0)] == [0, 0, 0, 1, 1, 1, 1, 1, 2, 2]
    assert [request.index for part, request in addressed(mixture, 0) if part == 1] == [0, 1, 2, 3, 4]


def test_size_views_and_epoch_are_passed_through():
    mixture = Mixture([Part(Walker(sizes=[(16, 16), (16, 32)]), 4)])
    views = mixture.compact(Request(0, (16, 32), 2, 5))
    assert len(views) == 2 and views[0].size == (16, 32)
    assert addressed(mixture, 5)[0][1].epoch == 5


def test_another_seed_gives_another_order():
    assert (epoch_order(100, 0, 0) != epoch_order(100, 0, 1)).any()
    assert sorted(epoch_order(100, 3, 1)) == list(np.arange(100))


def test_parts_of_different_sizes_cannot_be_mixed():
    with pytest.raises(ValueError, match=r"give all parts of a mixture the same"):
        Mixture([Part(Toy(sizes=[(16, 16)])), Part(Toy(sizes=[(32, 32)]))])
    with pytest.raises(ValueError, match=r"give all parts of a mixture the same"):
        Mixture([Part(Toy(num_views=4)), Part(Toy(num_views=5))])


@pytest.mark.parametrize("parts", [[], [Part(Toy(), 0)]])
def test_empty_parts_are_refused(parts):
    with pytest.raises(ValueError, match="at least one sample"):
        Mixture(parts)


def test_broken_frames_of_all_parts_are_counted():
    first, second = (Walker(frames=(12,), broken=["scene0/1"]) for _ in range(2))
    mixture = Mixture([Part(first), Part(second)])
    mixture.compact(Request(0, (24, 32), 4)), mixture.compact(Request(9, (24, 32), 4))
    assert mixture.broken_frames == 2
