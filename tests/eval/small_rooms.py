"""The set `rooms`, small enough for tests."""

import pytest

from cut3r.data.walks import WalkConfig
from eval.sequences import rooms
from eval.systems import baselines

WALK = WalkConfig(size=(48, 64), frames=10)


@pytest.fixture
def small_rooms(monkeypatch: pytest.MonkeyPatch) -> WalkConfig:
    """Two walks of ten frames; the mean depth map is of two walks, too."""
    monkeypatch.setattr(rooms, "WALKS", 2)
    monkeypatch.setattr(rooms, "CONFIG", WALK)
    monkeypatch.setattr(baselines, "MEAN_WALKS", 2)
    return WALK
