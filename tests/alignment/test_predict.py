"""Stars through the network: as single streams, however they are batched."""

import numpy as np
import pytest
import torch

from cut3r.alignment.graphs import both_ways, complete, original, pairs_of, window
from cut3r.alignment.predict import predict, predict_more
from cut3r.alignment.tokens import FrameTokens
from cut3r.inference.preprocess import to_tensor
from cut3r.model.encoder import ViewInput
from cut3r.model.prediction import Outputs

HALF = {"atol": 2e-2, "rtol": 1e-2}  # of points and confidences that went through half precision


def pictures(n: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, 48, 64, 3), dtype=np.uint8))


@torch.inference_mode()
def alone(model, images, star):
    """One stream, frame by frame."""
    views = [ViewInput(image=to_tensor(images[number].numpy())) for number in star]
    return model.rollout(views, outputs=Outputs.all()).predictions


def test_a_pair_is_what_the_stream_from_its_anchor_says(tiny_model):
    images, stars = pictures(5), original(5)
    said = predict(tiny_model, images, stars)
    assert [tuple(pair) for pair in said.ends.tolist()] == pairs_of(stars)
    at = {tuple(pair): k for k, pair in enumerate(said.ends.tolist())}
    for star in stars:
        stream = alone(tiny_model, images, star)
        torch.testing.assert_close(said.points_self[star[0]].float(), stream[0].points_cam[0], **HALF)
        for other, plain in zip(star[1:], stream[1:], strict=True):
            k = at[star[0], other]
            torch.testing.assert_close(said.points_pair[k].float(), plain.points_world[0], **HALF)
            torch.testing.assert_close(said.conf_pair[k].float(), plain.conf_world[0], **HALF)


def test_batches_change_nothing(tiny_linear):
    images, stars = pictures(6), complete(6)
    one, all_at_once = predict(tiny_linear, images, stars, anchors=1), predict(tiny_linear, images, stars)
    torch.testing.assert_close(one.points_pair, all_at_once.points_pair, **HALF)
    torch.testing.assert_close(one.points_self, all_at_once.points_self, **HALF)


def test_each_frame_is_encoded_once_and_shared_steps_are_taken_once(tiny_linear, monkeypatch):
    encoded, stepped = [], []
    encode, step = tiny_linear.encode, tiny_linear.step
    monkeypatch.setattr(tiny_linear, "encode", lambda view: encoded.append(view.batch_size) or encode(view))
    monkeypatch.setattr(tiny_linear, "step", lambda *given: stepped.append(given[1].batch_size) or step(*given))
    stars = window(9)
    predict(tiny_linear, pictures(9), stars)
    assert sum(encoded) == 9
    assert sum(stepped) == 9 + len(pairs_of(stars))
    assert len(stepped) == 1 + 3, "all stars in one batch"


def test_later_pairs_are_what_they_would_have_been_and_encode_nothing_again(tiny_linear, monkeypatch):
    images, loops = pictures(9), both_ways([(0, 8), (2, 7)])
    tokens = FrameTokens(tiny_linear, images)
    local = predict(tiny_linear, images, window(9, 1), tokens=tokens)
    at_once = predict(tiny_linear, images, loops)
    monkeypatch.setattr(tiny_linear, "encode", lambda view: pytest.fail("all frames are encoded"))
    later = predict_more(tiny_linear, local, loops, tokens)
    assert later.ends.tolist() == [[0, 8], [8, 0], [2, 7], [7, 2]]
    torch.testing.assert_close(later.points_pair, at_once.points_pair, **HALF)
    assert later.points_self is local.points_self
    assert tokens.pooled().shape == (9, tokens.of([0]).features.shape[-1])


def test_a_single_frame_has_no_pairs(tiny_linear):
    said = predict(tiny_linear, pictures(1), [])
    assert said.points_self.shape == (1, 48, 64, 3) and len(said.ends) == 0


def test_progress_comes_to_its_end(tiny_linear):
    told = []
    predict(tiny_linear, pictures(4), window(4), anchors=2, on_progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == 4 + 12
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_masked_pixels_lose_their_weight_wherever_the_frame_is_seen(tiny_linear):
    said = predict(tiny_linear, pictures(3), complete(3))
    mask = torch.zeros(3, 48, 64, dtype=torch.bool)
    mask[1, :10] = True
    kept = said.without(mask)
    assert (kept.conf_self[1, :10] == 0).all() and torch.equal(kept.conf_self[0], said.conf_self[0])
    seen = said.ends[:, 1] == 1
    assert (kept.conf_pair[seen, :10] == 0).all() and torch.equal(kept.conf_pair[~seen], said.conf_pair[~seen])


@pytest.mark.parametrize("stars", [[(0, 3)], [(0, 1, 2), (0, 2)]], ids=["unknown frame", "twice"])
def test_stars_that_make_no_sense_are_refused(tiny_linear, stars):
    with pytest.raises(ValueError, match=r"frame 3|two stars"):
        predict(tiny_linear, pictures(3), stars)


def test_known_depth_takes_the_place_of_a_frames_own_and_all_that_its_stream_says_grows_with_it(tiny_linear):
    images, stars = pictures(4), complete(4)
    plain = predict(tiny_linear, images, stars)
    before = plain.points_self[1].float()
    depth = 3 * before[..., 2].where(before[..., 2] > 0.1, 0.0)
    depth[:, :12] *= 1.2  # of another shape, too
    depth[:10] = 0
    said = predict(tiny_linear, images, stars, depth={1: depth})
    given = depth > 0
    torch.testing.assert_close(said.points_self[1, ..., 2].float()[given], depth[given], rtol=2e-3, atol=0)
    rays = before / before[..., 2:]
    torch.testing.assert_close(
        (said.points_self[1].float() / said.points_self[1, ..., 2:].float())[given], rays[given], rtol=2e-2, atol=2e-3
    )
    for row, (first, _) in enumerate(plain.ends.tolist()):
        growth = 3.0 if first == 1 else 1.0
        torch.testing.assert_close(
            said.points_pair[row].float(), growth * plain.points_pair[row].float(), rtol=2e-2, atol=2e-2
        )
    torch.testing.assert_close(said.points_self[0], plain.points_self[0])
