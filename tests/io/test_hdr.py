import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cut3r.io.hdr import HLG, PQ, STANDARD, hlg_light, pq_light, srgb_light, srgb_signal, to_srgb

BT709, BT2020 = 1, 9


def grey(signal):
    return np.full((1, 1, 3), round(65535 * signal), np.uint16)


@pytest.mark.parametrize(("signal", "nits"), [(0.0, 0), (0.508, 100), (0.581, 203), (0.7518, 1000), (1.0, 10000)])
def test_pq_codes_nits(signal, nits):
    assert 203 * pq_light(np.array([signal]))[0] == pytest.approx(nits, rel=0.01, abs=0.01)


def test_hlg_has_white_at_three_quarters_and_is_smooth_at_its_joint():
    assert hlg_light(np.array([0.75]))[0] == 1
    below, above = hlg_light(np.array([0.5, 0.5 + 1e-9]))
    assert below == pytest.approx(above, rel=1e-5)


@given(st.floats(0, 1))
def test_srgb_survives_the_round_trip(signal):
    assert srgb_signal(srgb_light(np.array([signal])))[0] == pytest.approx(signal, abs=1e-4)


@pytest.mark.parametrize(("transfer", "white"), [(PQ, 0.5807), (HLG, 0.75)])
def test_grey_keeps_its_level_below_the_knee_and_rises_beyond(transfer, white):
    half = np.interp(
        srgb_light(np.array([0.5]))[0], transfer.to_light(np.linspace(0, 1, 9999)), np.linspace(0, 1, 9999)
    )
    assert abs(int(to_srgb(grey(half), transfer, BT2020)[0, 0, 0]) - 128) <= 1
    levels = [int(to_srgb(grey(s), transfer, BT2020)[0, 0, 0]) for s in np.linspace(0, 1, 200)]
    assert levels == sorted(levels)
    assert levels[0] == 0
    assert levels[-1] == 255
    assert 238 <= to_srgb(grey(white), transfer, BT2020)[0, 0, 0] <= 247


@pytest.mark.parametrize("transfer", [PQ, HLG, STANDARD])
def test_grey_stays_grey(transfer):
    for signal in (0.1, 0.5, 0.9):
        assert np.ptp(to_srgb(grey(signal), transfer, BT2020).astype(int)) <= 1


def test_wide_colours_gain_saturation_and_narrow_ones_stay():
    rgb = np.array([[[40000, 20000, 20000]]], np.uint16)
    r, g, _ = to_srgb(rgb, STANDARD, BT2020)[0, 0].astype(int)
    assert r - g > (40000 - 20000) / 257 + 5
    assert np.abs(to_srgb(rgb, STANDARD, BT709)[0, 0].astype(int) - rgb[0, 0] // 257).max() <= 1
