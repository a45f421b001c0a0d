import json
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from cut3r.data import loader
from cut3r.data.loader import Loader, LoaderConfig, load, plan_epoch, plan_in_order
from cut3r.data.mixture import Mixture, Part
from tests.data.toy_dataset import Toy, Walker

SIZES = [(16, 32), (16, 16), (32, 16)]


class Counted(SimpleNamespace):
    """A source that is only planned, never loaded."""

    broken_frames = 0

    def __len__(self):
        return self.length

    def __getitem__(self, request):
        raise AssertionError

    compact = __getitem__


def config(**options):
    return LoaderConfig(**{"batch_size": 2, "num_workers": 0, "min_views": 2, **options})


def source(**options):
    parts = [Part(Toy(frames=(8, 7), num_views=5, sizes=SIZES, aug_crop=4, **options), 8)]
    return Mixture([*parts, Part(Walker(frames=(9,), num_views=5, sizes=SIZES), 4)])


def fingerprint(batches):
    return [
        [(view.label, view.rgb.double().sum().item(), view.first_from_cam.double().sum().item()) for view in views]
        for views in batches
    ]


def test_batches_are_the_originals(golden):
    for case in json.loads((golden / "loss" / "sampler.json").read_text())["cases"]:
        sizes = [(h, w) for w, h in case["resolutions"]]
        parts = [Counted(length=length, sizes=sizes, num_views=case["num_views"]) for length in (7, 50, 6)]
        # The third, (2 * c[3]), gives each of its three samples twice.
        mixture = Mixture([Part(parts[0], 20), Part(parts[1], 10), Part(parts[2])])
        options = config(batch_size=case["batch_size"], min_views=4, fixed_length=case["fixed_length"])
        plan = plan_epoch(mixture, options, case["epoch"])
        assert len(mixture) == case["dataset_len"] and len(plan) == case["sampler_len"]
        assert [[[r.index, sizes.index(r.size), r.num_views] for r in batch] for batch in plan] == case["batches"]
        resolved = []
        for batch in plan[: len(case["resolved"])]:
            asked = [mixture.resolve(request) for request in batch]
            resolved.append(
                [["abc"[p], r.index // (2 if p == 2 else 1), sizes.index(r.size), r.num_views] for p, r in asked]
            )
        assert resolved == case["resolved"]


def test_order_and_shapes_are_the_recorded_ones():
    # common.md C11, golden; its incomplete last batch is never loaded
    many = Counted(length=10, sizes=[(h, 1) for h in range(10)], num_views=64)
    first = [
        (r.index, r.size[0], r.num_views)
        for batch in plan_epoch(many, config(batch_size=4, min_views=4), 0)
        for r in batch
    ]
    assert first == [(i, 4, 53) for i in (3, 7, 6, 4)] + [(i, 3, 30) for i in (5, 2, 1, 0)]
    later = [
        (r.index, r.size[0], r.num_views)
        for batch in plan_epoch(many, config(batch_size=4, min_views=4), 3)
        for r in batch
    ]
    assert later == [(i, 4, 24) for i in (4, 2, 5, 0)] + [(i, 6, 58) for i in (6, 3, 8, 9)]
    one = Counted(length=10, sizes=[(224, 224)], num_views=4)
    assert [r.index for batch in plan_epoch(one, config(batch_size=4, min_views=4), 0) for r in batch] == [
        3,
        7,
        6,
        4,
        5,
        2,
        1,
        0,
    ]


def test_the_first_half_of_the_sizes_is_drawn_twice_as_often():
    many = Counted(length=30_000, sizes=[(h, 1) for h in range(10)], num_views=4)
    drawn = Counter(batch[0].size[0] for batch in plan_epoch(many, config(batch_size=1), 0))
    assert all(abs(drawn[h] / 30_000 - (2 if h < 5 else 1) / 15) < 0.01 for h in range(10))


def test_fewer_than_four_views_are_allowed():
    few = Counted(length=10, sizes=[(8, 8)], num_views=2)
    assert {batch[0].num_views for batch in plan_epoch(few, config(min_views=4), 0)} == {2}


def test_a_batch_has_one_size_and_one_number_of_views():
    lengths = set()
    for views in Loader(source(), config()).batches(0):
        assert len({view.size for view in views}) == 1
        assert all(view.rgb.shape[0] == 2 and len(view.label) == 2 for view in views)
        lengths.add(len(views))
    assert lengths <= {2, 3, 4, 5} and len(lengths) > 1


@pytest.mark.parametrize("workers", [1, 2])
def test_samples_do_not_depend_on_the_number_of_workers(workers):
    alone = fingerprint(Loader(source(), config()).batches(1))
    assert fingerprint(Loader(source(), config(num_workers=workers)).batches(1)) == alone


def test_an_epoch_continues_where_it_was_left():
    whole = fingerprint(Loader(source(), config()).batches(2))
    assert fingerprint(Loader(source(), config(num_workers=1)).batches(2, start=3)) == whole[3:]
    assert len(whole) == len(Loader(source(), config())) == 6


def test_epochs_differ_and_seeds_differ():
    first = fingerprint(Loader(source(), config()).batches(0))
    assert fingerprint(Loader(source(), config()).batches(1)) != first
    assert fingerprint(Loader(source(), config(seed=1)).batches(0)) != first


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_the_batches_of_one(world):
    plan = plan_epoch(source(), config(), 0)
    loaders = [Loader(source(), config(), rank=rank, world=world) for rank in range(world)]
    rounds = 6 // world
    assert [len(loader) for loader in loaders] == [rounds] * world
    labels = [[views[0].label for views in loader.batches(0)] for loader in loaders]
    together = [labels[number % world][number // world] for number in range(rounds * world)]
    alone = [views[0].label for views in load(source(), plan[: rounds * world], config())]
    assert together == alone


def test_processes_can_be_given_equal_shapes():
    plan = plan_epoch(source(), config(same_shape=True), 0, world=2)
    shapes = [(batch[0].size, batch[0].num_views) for batch in plan]
    assert shapes[::2] == shapes[1::2]
    assert [r.index for b in plan for r in b] == [r.index for b in plan_epoch(source(), config(), 0) for r in b]
    free = [(batch[0].size, batch[0].num_views) for batch in plan_epoch(source(), config(), 0, world=2)]
    assert free[::2] != free[1::2]


def test_loading_does_not_touch_the_global_random_numbers():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    next(Loader(source(), config(num_workers=1)).batches(0))
    assert torch.equal(before, torch.get_rng_state())


def test_broken_frames_in_worker_processes_are_counted():
    broken = Mixture([Part(Walker(frames=(15,), broken=["scene0/5"], num_views=4, sizes=SIZES), 12)])
    for _ in Loader(broken, config(num_workers=2)).batches(0):
        pass
    assert broken.broken_frames > 0


def test_validation_takes_every_sample_once_in_order():
    toy = Walker(frames=(12,), sizes=SIZES)
    batches = list(load(toy, plan_in_order(toy, 4), config(num_workers=0)))
    assert [view.label[0] for views in batches for view in views[:1]] == [
        "Toy/scene0/0",
        "Toy/scene0/4",
        "Toy/scene0/8",
    ]
    assert [views[0].rgb.shape[0] for views in batches] == [4, 4, 1]
    assert {views[0].size for views in batches} == {SIZES[0]}


@pytest.mark.parametrize(("num_workers", "prefetch"), [(0, None), (2, 5)])
def test_workers_make_so_many_batches_ahead(monkeypatch, num_workers, prefetch):
    made = []
    monkeypatch.setattr(loader, "DataLoader", lambda *_, **options: made.append(options) or [])
    loader.load(source(), [], config(num_workers=num_workers, prefetch_factor=5))
    assert made[0]["prefetch_factor"] == prefetch


def test_an_epoch_without_a_whole_batch_is_an_error():
    with pytest.raises(ValueError, match="12 samples per epoch do not fill one batch of 16 on each of 2"):
        Loader(source(), config(batch_size=16), world=2)


def test_a_batch_size_below_one_is_an_error():
    with pytest.raises(ValueError, match="batch_size 0"):
        LoaderConfig(batch_size=0)
    with pytest.raises(ValueError, match="prefetch_factor 0"):
        LoaderConfig(prefetch_factor=0)
