"""What the feed hands to the network: inputs as the recipe says, a curriculum, the same held-out samples every time."""

from dataclasses import replace
from pathlib import Path

import pytest

from cut3r.data.loader import LoaderConfig
from cut3r.data.sampling import MaskProbabilities
from cut3r.model.config import ModelConfig
from cut3r.training.data_config import SYNTHETIC, DataConfig, PathsConfig
from cut3r.training.feed import DataFeed


def rooms(**options) -> DataConfig:
    """Two views of 16 x 16 pixels from walks of four frames; eight of them are an epoch."""
    loader = LoaderConfig(batch_size=2, num_workers=0, fixed_length=True)
    config = DataConfig(
        **{"samples": {SYNTHETIC: 8}, "sizes": [[16, 16]], "num_views": 2, "aug_crop": 0, "color_jitter": False}
        | {"loader": loader}
        | options
    )
    config.synthetic.scenes = 2
    config.synthetic.walk = replace(config.synthetic.walk, frames=4)
    config.validation.size, config.validation.num_views = (16, 16), 2
    config.validation.samples = {SYNTHETIC: 8}
    return config


def feed(config: DataConfig, **options) -> DataFeed:
    return DataFeed(config, PathsConfig(root=Path("nowhere")), ModelConfig(), **options)


def shown(batches):
    """Tell (image, rays) of the views after the first."""
    pairs = set()
    for views in batches:
        for view in views[1:]:
            pairs |= set(zip(view.has_image.tolist(), view.has_rays.tolist(), strict=True))
    return pairs


@pytest.mark.parametrize(
    ("masks", "inputs"),
    [
        ([1.0, 0.0, 0.0], {(True, False)}),
        ([0.0, 1.0, 0.0], {(False, True)}),
        ([0.0, 0.0, 1.0], {(True, True)}),
        (None, {(True, False), (False, True), (True, True)}),
    ],
)
def test_the_recipe_says_what_the_network_is_given(masks, inputs):
    training = feed(rooms(masks=masks))
    assert shown(batch for epoch in range(3) for batch in training.batches(epoch, 0)) == inputs


def test_held_out_views_never_come_with_their_camera():
    held_out = feed(rooms(masks=[0.0, 0.0, 1.0])).held_out()[SYNTHETIC]
    assert shown(held_out) == {(True, False)}


def test_masks_do_not_change_which_frames_are_drawn():
    (images, *_), (rays, *_) = (feed(rooms(masks=m)).batches(0, 0) for m in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]))
    assert [view.label for view in images] == [view.label for view in rays]


@pytest.mark.parametrize("masks", [[0.8, 0.1, 0.2], [1.1, -0.1, 0.0]])
def test_masks_must_be_shares_of_one(masks):
    with pytest.raises(ValueError, match="shares of image, rays and both"):
        MaskProbabilities(*masks)
    with pytest.raises(ValueError, match="shares of image, rays and both"):
        rooms(masks=masks)
