"""Stages of the curriculum with walks of their own."""

import pytest

from cut3r.training.data_config import SYNTHETIC, CurriculumStage, DataConfig, SyntheticConfig


def test_a_stage_may_have_other_walks():
    stage = CurriculumStage(2, frames=7, scenes=5, max_interval=2)
    config = DataConfig(samples={SYNTHETIC: 4}, synthetic=SyntheticConfig(scenes=9), curriculum=[stage])
    first, then = (each.synthetic for each in config.stages())
    assert (first.walk.frames, first.scenes, first.max_interval) == (7, 5, 2)
    assert (then.walk.frames, then.scenes, then.max_interval) == (40, 9, 4)


@pytest.mark.parametrize("field", ["frames", "scenes", "max_interval"])
def test_walks_of_a_stage_need_rooms(field):
    with pytest.raises(ValueError, match=r"data\.samples\.synthetic"):
        DataConfig(curriculum=[CurriculumStage(2, **{field: 3})])
    with pytest.raises(ValueError, match=f"{field} 0 .* at least 1"):
        CurriculumStage(2, **{field: 0})
