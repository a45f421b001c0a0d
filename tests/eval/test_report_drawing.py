"""What the report draws is what the arrays hold: scales, errors, paths and packed clouds."""

import base64
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eval.report.clouds import TRUTH, box, cloud_scene, packed, still, viewer_axes
from eval.report.drawing import VARIABLES, Line, line_chart, moving_average, round_up
from eval.report.paths import PIECES, CameraPath, path_pictures, pieces, principal_axes
from eval.report.pictures import LARGEST, depth_pictures, depth_range, encoded, relative_error

seeds = st.integers(0, 2**31)


def chart(values, **options):
    x = np.arange(len(values), dtype=float)
    return line_chart("Error", "frame", "m", [Line("one", x, np.asarray(values, float), **options)])


def opened(uri):
    kind, text = uri.split(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGBA"))


def test_charts_take_the_colours_of_the_page():
    svg = chart([0.1, 0.3])
    assert not any(color in svg for color in VARIABLES)
    assert "var(--series-0)" in svg
    assert "<style" not in svg  # would hold for the whole page
    assert "width=" not in svg.split(">")[0]
    assert 'aria-label="Error: one"' in svg


def test_charts_keep_the_digits_of_their_axes():
    assert {"0.000", "0.002", "0.008"} <= set(re.findall(r">([\d.]+)</text>", chart([0.001, 0.012])))


def test_published_lines_are_dashed():
    assert "stroke-dasharray" in chart([1, 2], color=None)
    assert "stroke-dasharray" not in chart([1, 2])


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [1.0], [np.nan, 1.0, np.nan]])
def test_charts_of_nearly_nothing_are_drawn(values):
    assert chart(values).startswith("<svg")


def test_long_lines_are_averaged_and_say_so():
    assert "bold: mean of 20" in chart(np.ones(1000))
    assert "bold" not in chart(np.ones(100))


@given(seed=seeds, window=st.integers(1, 9))
def test_a_moving_average_keeps_constants_and_bounds(seed, window):
    values = np.random.default_rng(seed).uniform(1, 2, 40)
    average = moving_average(values, window)
    assert average.shape == values.shape
    assert values.min() - 1e-12 <= average.min() <= average.max() <= values.max() + 1e-12
    np.testing.assert_allclose(moving_average(np.full(40, 3.0), window), 3.0)
    values[::3] = np.nan
    assert np.isfinite(moving_average(values, 3)).all()


@given(value=st.floats(1e-6, 1e6))
def test_the_end_of_a_scale_is_round_and_not_far(value):
    end = round_up(value)
    assert value * (1 - 1e-9) <= end <= 2 * value
    assert len(f"{end:e}".split("e")[0].rstrip("0").rstrip(".").replace(".", "")) <= 2


@given(seed=seeds)
def test_principal_axes_are_a_frame_of_falling_spread(seed):
    points = np.random.default_rng(seed).normal(size=(20, 3)) @ np.diag([3.0, 2.0, 1.0])
    center, axes = principal_axes(points)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-9)
    spread = ((points - center) @ axes.T).std(axis=0)
    assert (np.diff(spread) <= 1e-9).all()


@pytest.mark.parametrize("count", [2, 3, 50, 1000])
def test_the_pieces_of_a_path_are_the_path(count):
    points = np.random.default_rng(0).normal(size=(count, 2))
    errors = np.arange(count, dtype=float)
    cut = list(pieces(points, errors))
    assert len(cut) <= PIECES
    np.testing.assert_array_equal(np.concatenate([cut[0][0], *(part[1:] for part, _ in cut[1:])]), points)
    assert max(error for _, error in cut) == count - 1


def path(error):
    turn = np.linspace(0, 3, 30)
    true = np.stack([np.cos(turn), 0 * turn, np.sin(turn)], axis=1)
    predicted = true + np.array([0, error, 0])
    return {"frames": np.arange(30), "true": true, "predicted": predicted, "ate_m": np.full(30, error)}


def test_one_lost_path_does_not_set_the_scale():
    paths = [CameraPath(str(n), n, path(error)) for n, error in enumerate((0.03, 0.05, 40.0))]
    pictures = path_pictures(paths)
    assert pictures.limit_m == 0.05
    assert [len(pictures.together), *map(len, pictures.by_error.values())] == [2, 2, 2, 2]
    assert path_pictures(paths[:1]).together == []


def test_errors_are_shares_of_the_known_depth():
    true = np.array([[2.0, 0.0, np.inf, 4.0]], np.float16)
    predicted = np.array([[1.0, 1.0, 1.0, np.nan]], np.float16)
    np.testing.assert_array_equal(relative_error(predicted, true), [[0.5, np.nan, np.nan, np.nan]])


@given(low=st.floats(0.1, 5), size=st.floats(0.1, 50))
def test_the_scale_of_depth_leaves_out_single_pixels(low, size):
    true = np.linspace(low, low + size, 1000).reshape(20, 50)
    true[0, :5] = 1e4
    true[1, :5] = 0
    ends = depth_range(true)
    assert low <= ends[0] < ends[1] <= low + size


def test_frames_and_systems_of_a_sequence_share_one_scale():
    true = np.full((4, 6), 2.0, np.float16)
    look = {"true_0": true, "predicted_0": 1.05 * true, "true_9": 2 * true, "predicted_9": 3 * true}
    pictures = depth_pictures({"one": look, "two": {**look, "predicted_0": 1.2 * true}}, {"one": 1, "two": 1})
    assert pictures.scales.error == 0.5
    low, high = pictures.scales.depth_m
    assert (low, high) == (2.0, 4.0)
    assert pictures.worst.number == 9
    half, full = (opened(pictures.rows[n].systems[0].error)[0, 0] for n in (0, 1))
    assert (half != full).any()  # 5 % and 50 % have not the same colour


def test_depth_without_any_truth_is_drawn():
    look = {"true_0": np.zeros((4, 6), np.float16), "predicted_0": np.ones((4, 6), np.float16)}
    (row,) = depth_pictures({"one": look}, {"one": 1}).rows
    assert row.image is None
    assert (opened(row.truth)[..., 3] == 0).all()
    assert np.isnan(row.systems[0].mean_error)


def test_frames_of_thinned_runs_stand_beside_the_same_frames():
    def look(numbers):
        return {f"{kind}_{n}": np.ones((4, 6), np.float16) for n in numbers for kind in ("true", "predicted")}

    rows = depth_pictures({"all": look((0, 40)), "half": look((0, 20))}, {"all": 1, "half": 2}).rows
    assert [(row.number, [each.label for each in row.systems]) for row in rows] == [
        (0, ["all", "half"]),
        (40, ["all", "half"]),
    ]


def test_pictures_are_bounded():
    assert opened(encoded(np.zeros((1000, 1500, 3), np.uint8))).shape == (250, 375, 4)
    assert max(opened(encoded(np.zeros((LARGEST, 10, 3), np.uint8))).shape) == LARGEST


def cloud_look(seed, count=200):
    rng = np.random.default_rng(seed)
    true = rng.uniform(-1, 2, (count, 3)).astype(np.float32)
    predicted = np.concatenate([true[:-1] + 0.01, [[900, 0, 0]]]).astype(np.float32)
    return {
        "true_points": true,
        "true_colors": rng.integers(0, 255, (count, 3)).astype(np.uint8),
        "predicted_points": predicted,
    }


@given(seed=seeds)
def test_packed_clouds_hold_the_points(seed):
    look = cloud_look(seed)
    scene = cloud_scene({"one": look}, "sevenscenes", 1000)
    data = packed(scene)
    assert [cloud["label"] for cloud in data["clouds"]] == [TRUTH, "one"]
    shares = np.frombuffer(base64.b64decode(data["clouds"][0]["points"]), "<u2").reshape(-1, 3)
    points = np.array(data["low"]) + shares / 65535 * np.array(data["size"])
    np.testing.assert_allclose(points, look["true_points"], atol=1e-4)
    colors = np.frombuffer(base64.b64decode(data["clouds"][0]["colors"]), np.uint8)
    np.testing.assert_array_equal(colors.reshape(-1, 3), look["true_colors"])
    assert len(base64.b64decode(data["clouds"][1]["errors"])) == 3 * 199


def test_a_far_point_does_not_set_the_box():
    look = cloud_look(0)
    scene = cloud_scene({"one": look}, "sevenscenes", 1000)
    assert scene.high[0] < 3
    assert scene.clouds[1].outside == pytest.approx(1 / 200)
    low, high = box([look["true_points"]])
    assert (low < look["true_points"]).all()
    assert (high > look["true_points"]).all()


def test_clouds_are_thinned():
    scene = cloud_scene({"one": cloud_look(0)}, "sevenscenes", 50)
    assert len(scene.clouds[0].points) == 50


def test_near_points_hide_far_ones():
    scene = cloud_scene({"one": cloud_look(0)}, "sevenscenes", 1000)
    forward = viewer_axes(y_up=False)[2]
    middle = (scene.low + scene.high) / 2
    points = np.stack([middle - 0.5 * forward, middle + 0.5 * forward]).astype(np.float32)
    colors = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    for order in ([0, 1], [1, 0]):
        picture = still(points[order], colors[order], scene)
        assert {tuple(pixel) for pixel in picture[picture[..., 3] > 0]} == {(255, 0, 0, 255)}


@pytest.mark.parametrize("y_up", [True, False])
def test_the_viewer_looks_down_a_little(y_up):
    axes = viewer_axes(y_up=y_up)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)
    down = np.array([0, -1 if y_up else 1, 0])
    assert 0.3 < axes[2] @ down < 0.6
    assert axes[1] @ down > 0.8
