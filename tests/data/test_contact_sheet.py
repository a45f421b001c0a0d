from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cut3r.data.contact_sheet import GAP, TILE, contact_sheet, warped
from tests.data.walk_frames import sparse, walk_frames


def test_the_other_picture_is_warped_onto_ours():
    a, b = walk_frames(3)[0], walk_frames(3)[3]
    picture, covered = warped(a, b)
    error = np.abs(picture[covered].astype(float) - a.rgb[covered]).mean()
    unmoved = np.abs(b.rgb[covered].astype(float) - a.rgb[covered]).mean()
    assert covered.mean() > 0.5 and error < 0.5 * unmoved


def test_a_sheet_has_a_row_for_each_pair(tmp_path):
    a, b = walk_frames(0)[0], walk_frames(0)[5]
    portrait = replace(a, rgb=a.rgb.swapaxes(0, 1).copy(), depth=a.depth.T.copy(), foreground=np.zeros((96, 72), bool))
    empty = replace(a, depth=np.zeros_like(a.depth))
    outdoors = replace(a, depth=np.where(a.depth > 3, np.float32(-1), a.depth))
    pairs = [(a, b), (portrait, b), (empty, b), (sparse(outdoors, 0.05), b)]
    for count in (1, 4):
        contact_sheet(pairs[:count], ["title"] * count, tmp_path / f"{count}.png", unit="units")
    one, all_of_them = (np.array(Image.open(tmp_path / f"{count}.png")) for count in (1, 4))
    assert one.shape[1] == 6 * (TILE + GAP) + GAP and all_of_them.shape[0] > 4 * one.shape[0]
    assert np.array_equal(all_of_them[: len(one)], one)


def test_the_difference_is_dark_where_poses_are_wrong(tmp_path):
    a, b = walk_frames(0)[0], walk_frames(0)[5]
    wrong = replace(b, rgb=255 - b.rgb)
    for name, pair in (("right", (a, b)), ("wrong", (a, wrong))):
        contact_sheet([pair], [name], tmp_path / f"{name}.png")
    last = slice(5 * (TILE + GAP) + GAP, None)
    right, dark = (np.array(Image.open(tmp_path / f"{name}.png"))[40:180, last].mean() for name in ("right", "wrong"))
    assert dark < right - 20


def test_titles_must_match(tmp_path):
    with pytest.raises(ValueError, match="0 pairs with 1 titles"):
        contact_sheet([], ["a"], tmp_path / "a.png")
