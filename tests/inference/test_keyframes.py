"""Which frames are written: every frame has a result, keyframes age the state."""

import numpy as np
import pytest
import torch

from cut3r.inference.joints import Sight
from cut3r.inference.keyframes import LONGEST, KeyframeConfig, LastKey, after, is_blurred, is_key, sharpness
from cut3r.inference.seen_area import MOST, SeenArea
from cut3r.inference.session import Session
from cut3r.io.frames import Frame
from tests.inference.test_stream import assert_same, frame

FRAMES = [frame(number) for number in range(8)]


def sight(shift: float = 0.0, turn: float = 0.0, *, points: int = 400, seed: int = 0) -> Sight:
    """A wall two metres in front of a camera, which has moved aside and turned about the vertical."""
    draw = torch.Generator().manual_seed(seed)
    wall = torch.cat((3 * torch.rand(points, 2, generator=draw) - 1.5, torch.full((points, 1), 2.0)), dim=1)
    pose = torch.eye(4)
    pose[:3, :3] = torch.tensor([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    pose[0, 3] = shift
    return Sight(wall + torch.tensor([shift, 0, 0]), torch.full((points,), 5.0), pose)


def due(text: str, *, number: int = 5, time_s: float | None = 0.5, seen: Sight | None = None, area=None) -> bool:
    """Whether a frame is due after the frame 0 of `sight()`."""
    seen = seen or sight()
    last = LastKey(0, 0.0, torch.eye(4))
    gaps = (area or SeenArea.nothing().grown(sight())).gaps(seen)
    return is_key(KeyframeConfig.of_text(text), last, number=number, time_s=time_s, depth_m=2.0, sight=seen, gaps=gaps)


@pytest.mark.parametrize(
    ("text", "facts", "expected"),
    [
        ("all", {"number": 1}, True),
        ("every:5", {"number": 4}, False),
        ("every:5", {"number": 5}, True),
        ("fps:2", {"time_s": 0.4}, False),
        ("fps:2", {"time_s": 0.5}, True),
        ("motion", {"seen": sight(0.15)}, False),
        ("motion", {"seen": sight(0.25)}, True),
        ("motion", {"seen": sight(turn=np.deg2rad(8))}, False),
        ("motion", {"seen": sight(turn=np.deg2rad(12))}, True),
        ("overlap", {"seen": sight(seed=1)}, False),
        ("overlap", {"seen": sight(3.0)}, True),
        ("overlap", {"number": LONGEST}, True),
        ("motion", {"number": LONGEST}, True),
    ],
)
def test_when_a_frame_is_due(text, facts, expected):
    assert due(text, **facts) is expected


def test_a_network_that_is_unsure_opens_no_new_area():
    unsure = sight(3.0)
    assert not due("overlap", seen=Sight(unsure.points, torch.full((400,), 1.2), unsure.chunk_from_cam))


def test_pictures_without_times_have_no_frames_per_second():
    with pytest.raises(ValueError, match="use every:N"):
        due("fps:2", time_s=None)


def test_points_that_are_anywhere_make_no_area():
    """Each stands alone, however many there are; without this, all of a room counts as seen after some frames."""
    draw, area = torch.Generator().manual_seed(0), SeenArea.nothing().grown(sight())
    for _ in range(10):
        anywhere = 6 * torch.rand(40, 3, generator=draw) - 3
        area = area.grown(Sight(anywhere, torch.full((40,), 8.0), torch.eye(4)))
    assert due("overlap", area=area, seen=sight(3.0))
    assert not due("overlap", area=area, seen=sight(seed=1))


def test_what_was_seen_from_behind_is_new():
    behind = sight(seed=1)
    pose = behind.chunk_from_cam.clone()
    pose[2, 3] = 4.0  # on the other side of the wall
    gaps = SeenArea.nothing().grown(sight()).gaps(Sight(behind.points, behind.confidence, pose))
    assert np.isinf(gaps).all()


def test_what_is_kept_of_the_area_is_bounded():
    area = SeenArea.nothing()
    for number in range(40):
        area = area.grown(sight(3.0 * number, points=3000, seed=number))
        assert len(area.points) <= MOST
    assert len(area.points) > MOST / 8


def test_a_blurred_frame_waits_for_a_sharper_neighbour_but_not_for_ever():
    rng, last, chosen = np.random.default_rng(0), LastKey(0, 0.0, torch.eye(4)), []
    crisp = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    soft = np.full_like(crisp, 127)
    assert sharpness(soft) < 0.01 * sharpness(crisp)
    for number in range(1, 25):
        image = soft if number in (4, 5) or number >= 12 else crisp
        wanted, sharp = number - last.number >= 4, sharpness(image)
        written = wanted and not is_blurred(last, sharp)
        last = after(last, sharp=sharp, due=wanted, written=written, number=number, time_s=None, sight=sight())
        chosen += [number] if written else []
    assert chosen[:3] == [
        6,
        10,
        17,
    ]  # 4 and 5 were blurred; from 12 on all are, and 14 waits no longer than three frames


def test_every_frame_has_a_result_and_keyframes_alone_are_written(tiny_linear):
    session, by_hand = Session(tiny_linear, keyframes=KeyframeConfig.of_text("every:3")), Session(tiny_linear)
    results = list(session.stream(FRAMES))
    pushed = [by_hand.push(each, update=number % 3 == 0) for number, each in enumerate(FRAMES)]
    for ours, theirs in zip(results, pushed, strict=True):
        assert_same(ours, theirs)
    assert torch.equal(session.snapshot().state.tokens, by_hand.snapshot().state.tokens)
    assert [result.number for result in results if result.quality.is_key] == [0, 3, 6]


def test_chosen_keyframes_go_on_after_a_save(tiny_linear, tmp_path):
    make = {"keyframes": KeyframeConfig.of_text("every:3")}
    session, later, whole = (Session(tiny_linear, **make) for _ in range(3))
    expected = [whole.push(each).quality.is_key for each in FRAMES]
    keys = [session.push(each).quality.is_key for each in FRAMES[:5]]
    session.save(tmp_path / "it.session")
    later.load(tmp_path / "it.session")
    assert keys + [later.push(each).quality.is_key for each in FRAMES[5:]] == expected
    assert torch.equal(later.snapshot().course.area.points, whole.snapshot().course.area.points)


def test_frames_by_the_clock_follow_time_stamps_and_not_numbers(tiny_linear):
    session = Session(tiny_linear, keyframes=KeyframeConfig.of_text("fps:2"))
    times = [0.0, 0.1, 0.2, 0.9, 1.0, 1.3, 1.4, 2.5]
    keys = [
        session.push(Frame(each.rgb, each.index, time_s, each.name)).quality.is_key
        for each, time_s in zip(FRAMES, times, strict=True)
    ]
    assert keys == [True, False, False, True, False, False, True, True]


@pytest.mark.parametrize("text", ["", "some", "every", "every:x", "every:0", "every:1.5", "fps:-1", "motion:3"])
def test_what_cannot_be_meant_is_refused(text):
    with pytest.raises(ValueError, match="keyframes"):
        KeyframeConfig.of_text(text)
