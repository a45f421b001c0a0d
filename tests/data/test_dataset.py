import logging
from dataclasses import fields

import pytest
import torch

from cut3r.data.dataset import NoScenesError, Request
from cut3r.data.sampling import SamplingPolicy
from cut3r.data.transforms import ColorJitter
from tests.data.toy_dataset import ObjectToy, Toy, Walker, numbers

SIZE = (24, 32)


def request(index=0, num_views=4, size=SIZE, **options):
    return Request(index, size, num_views, **options)


def assert_same(left, right):
    for a, b in zip(left, right, strict=True):
        for field in fields(a):
            x, y = getattr(a, field.name), getattr(b, field.name)
            assert torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y, field.name


def test_the_length_counts_the_starts_of_all_scenes():
    assert len(Toy(frames=(12, 9))) == 9 + 6
    assert len(Toy(frames=(12, 9), num_views=10)) == 3


def test_scenes_that_are_too_short_are_left_out_unless_frames_may_repeat():
    assert [scene.name for scene in Toy(frames=(12, 5), num_views=9).scenes] == ["scene0"]
    assert [scene.name for scene in Toy(frames=(12, 5), num_views=9, allow_repeat=True).scenes] == ["scene0", "scene1"]


def test_no_scene_that_is_long_enough_is_an_error():
    with pytest.raises(NoScenesError, match=r"none of the 2 scenes .* has the 30 frames that 30 views need"):
        Toy(num_views=30)


def test_a_missing_folder_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"there is no folder {tmp_path / 'nowhere'}"):
        Toy(tmp_path / "nowhere")


def test_an_unknown_split_is_an_error():
    with pytest.raises(ValueError, match="no split 'validation'"):
        Toy(split="validation")


def test_a_sample_has_the_views_and_the_size_that_were_asked_for():
    views = Toy(num_views=6)[request(num_views=5, size=(16, 48))]
    assert len(views) == 5
    assert all(view.size == (16, 48) for view in views)
    assert all(view.metric and not view.camera_only for view in views)


def test_an_index_alone_means_the_first_size_and_all_views():
    dataset = Toy(sizes=[(16, 32), (32, 16)])
    views = dataset[3]
    assert len(views) == 4 and views[0].size == (16, 32)
    assert_same(views, dataset[request(3, size=(16, 32))])


def test_an_index_beyond_the_end_is_an_error():
    with pytest.raises(IndexError):
        Toy()[15]


def test_more_views_than_the_dataset_was_made_for_are_refused():
    with pytest.raises(ValueError, match="5 views asked of Toy"):
        Toy()[request(num_views=5)]


@pytest.mark.parametrize("change", [{"epoch": 1}, {"turn": 1}, {"index": 4}])
def test_a_sample_is_a_function_of_epoch_index_and_turn(change):
    def sample(**options):
        return Toy(frames=(200,), aug_crop=8)[request(**options)]

    assert_same(sample(), sample())
    assert numbers(sample()) != numbers(sample(**change))


def test_zero_is_a_seed_like_any_other():
    samples = [numbers(Toy(frames=(200,), seed=seed)[request()]) for seed in (0, 0, 1)]
    assert samples[0] == samples[1] != samples[2]


def test_parity_draws_from_seed_plus_index_in_every_epoch():
    # common.md C2 step 1: the third golden walk of C9 is drawn with seed 2
    class Original(Toy):
        policy = SamplingPolicy()

    for epoch in (0, 1):
        views = Original(frames=(100,), seed=2, parity=True)[request(0, epoch=epoch)]
        assert numbers(views) == [0, 28, 21, 31]


def test_the_margin_changes_from_view_to_view_or_from_sample_to_sample():
    focals = [view.intrinsics[0, 0].item() for view in Toy(aug_crop=16)[0]]
    assert len(set(focals)) > 1
    focals = [view.intrinsics[0, 0].item() for view in Toy(aug_crop=16, seq_aug_crop=True)[0]]
    assert len(set(focals)) == 1
    focals = [view.intrinsics[0, 0].item() for view in Toy()[0]]
    assert focals == pytest.approx([25.0] * 4, rel=1e-6)


def test_all_views_of_a_sample_change_colour_together():
    plain, changed = Walker()[0], Walker(jitter=ColorJitter())[0]
    assert not torch.equal(plain[0].image, changed[0].image)
    same_picture = Walker(frames=(4,), allow_repeat=True, num_views=9, jitter=ColorJitter())
    views = same_picture[request(0, num_views=9)]
    by_frame = {}
    for number, view in zip(numbers(views), views, strict=True):
        by_frame.setdefault(number, []).append(view.image)
    assert any(len(images) > 1 for images in by_frame.values())
    for images in by_frame.values():
        assert all(torch.equal(images[0], image) for image in images)


def test_the_colour_change_does_not_change_which_frames_are_drawn():
    assert numbers(Toy(frames=(200,))[0]) == numbers(Toy(frames=(200,), jitter=ColorJitter())[0])


def test_a_broken_frame_is_logged_counted_and_replaced_by_a_neighbour(caplog):
    dataset = Walker(frames=(12,), broken=["scene0/2"])
    with caplog.at_level(logging.WARNING):
        views = dataset[0]
    assert numbers(Walker(frames=(12,))[0]) == [0, 1, 2, 3]
    assert sorted(set(numbers(views)) - {0, 1, 3})[0] in (4, 11), "the nearest that the sample lacks"
    assert len(set(numbers(views))) == 4
    assert dataset.broken_frames == 1
    assert "Toy/scene0/2 is broken: OSError('the file is truncated')" in caplog.text


def test_the_frames_of_a_sample_are_read_together():
    asked = []

    class Together(Walker):
        def read_many(self, scene, positions):
            asked.append(list(positions))
            return super().read_many(scene, positions)

    assert_same(Together()[0], Walker()[0])
    assert asked == [[0, 1, 2, 3]]


def test_frames_are_read_one_at_a_time_and_a_broken_one_does_not_stop_the_others():
    dataset = Walker(broken=["scene0/1"])
    frames = dataset.read_many(dataset.scenes[0], [0, 1, 2])
    assert next(frames).depth[1, 1] == 2
    with pytest.raises(OSError, match="truncated"):
        next(frames)
    assert next(frames).depth[1, 1] == pytest.approx(2.2)


def test_a_frame_that_comes_twice_and_is_broken_is_counted_once():
    dataset = Walker(frames=(4, 4), broken=["scene0/0"], num_views=9, allow_repeat=True)
    views = dataset[request(0, num_views=9)]
    assert len(views) == 9 and "0" not in {view.label.split("/")[-1] for view in views if "scene0" in view.label}
    assert dataset.broken_frames == 1


def test_a_scene_with_too_many_broken_frames_is_replaced_by_another_sample(caplog):
    dataset = Walker(frames=(4, 12), broken=["scene0/1"])
    views = dataset[0]
    assert "scene1" in views[0].label
    assert "sample 0 is replaced by another: scene0: 1 of its 4 frames cannot be used" in caplog.text
    assert_same(views, Walker(frames=(4, 12), broken=["scene0/1"])[0])


def test_a_dataset_without_a_usable_sample_gives_up_and_says_why():
    dataset = Walker(frames=(6,), broken=[f"scene0/{i}" for i in range(6)])
    with pytest.raises(RuntimeError, match="10 samples in a row") as caught:
        dataset[0]
    assert "the file is truncated" in str(caught.value.__cause__)


def test_a_frame_whose_crop_shows_no_depth_is_replaced_where_the_dataset_says_so():
    assert numbers(Walker(empty=["scene0/1"])[0]) == [0, 1, 2, 3]
    dataset = ObjectToy(empty=["scene0/1"])
    assert 1 not in numbers(dataset[0])
    assert dataset.broken_frames == 0, "an empty depth map is no broken file"


def test_in_a_share_of_the_samples_only_the_object_has_depth():
    dataset = ObjectToy()
    shares = [dataset[request(0, epoch=epoch)][0].valid.float().mean().item() for epoch in range(16)]
    object_only = [share < 0.3 for share in shares]
    assert 3 < sum(object_only) < 13
    assert min(shares) == pytest.approx(0.25, abs=0.02) and max(shares) > 0.9


def test_labels_name_the_dataset_the_scene_and_the_frame():
    assert Walker()[0][1].label == "Toy/scene0/1"


def test_non_metric_datasets_show_images_only():
    for epoch in range(5):
        assert all(view.has_image and not view.has_rays for view in ObjectToy()[request(0, epoch=epoch)])
