"""Lenses: each model's forward and inverse, against each other, its definition, and the files that have it."""

import json
import math

import numpy as np
import pytest
import yaml

from cut3r.io.known_cameras import Fisheye, Lens
from cut3r.io.known_files import read_known_cameras
from cut3r.io.undistort import field_of, undistortion
from cut3r.io.wide_lens import DoubleSphere, Eucm, Fov, Omni
from cut3r.run.known_flags import read_intrinsics

K = np.array([[300.0, 0, 319.5], [0, 310, 239.5], [0, 0, 1]])
SIZE = (480, 640)
LENSES = {
    "radtan": Lens(K, SIZE, (-0.28, 0.07, 0.0002, 0.00002)),  # EuRoC
    "rational": Lens(K, SIZE, (0.1, 0.05, 0.003, -0.002, 0.01, 0.2, 0.05, 0.001)),
    "Kannala-Brandt": Fisheye(K, SIZE, (0.0034, 0.0007, -0.002, 0.0002)),  # TUM-VI
    "equidistant": Fisheye(K, SIZE),
    "omni": Omni(K, SIZE, (1.9, -0.05, 0.4, 0.001, -0.0005)),
    "omni, no coefficients": Omni(K, SIZE, (0.8,)),
    "double sphere": DoubleSphere(K, SIZE, (-0.28, 0.57)),  # TUM-VI
    "EUCM": Eucm(K, SIZE, (0.62, 1.03)),
    "FOV": Fov(K, SIZE, (0.93,)),
}


def plane(rays):
    return rays[:, :2] / rays[:, 2:]


@pytest.mark.parametrize("kind", LENSES)
def test_a_pixel_comes_back_to_where_it_was(kind):
    lens = LENSES[kind]
    widest = math.radians(50 if kind in ("radtan", "rational") else 80)
    random = np.random.default_rng(0)
    angle, around = random.uniform(0, widest, 500), random.uniform(0, 2 * math.pi, 500)
    true = np.stack([np.sin(angle) * np.cos(around), np.sin(angle) * np.sin(around), np.cos(angle)], axis=1)
    seen = lens.distort(plane(true))
    found = lens.rays(seen)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(found, true, atol=1e-8)
    again = lens.distort(plane(found))
    assert np.abs((again - seen) * 300).max() < 1e-6, "pixels"


@pytest.mark.parametrize("kind", LENSES)
def test_the_middle_is_as_large_as_it_says(kind):
    lens, little = LENSES[kind], np.array([[1e-6, 0], [0, 1e-6]])
    np.testing.assert_allclose(lens.distort(little) - lens.distort(0 * little), lens.middle * little, atol=1e-11)
    np.testing.assert_allclose(lens.distort(np.zeros((1, 2))), 0)
    np.testing.assert_allclose(lens.rays(np.zeros((1, 2))), [[0, 0, 1]])


def spheres(ray, lens):
    """The definitions, step by step, of any ray: also of one that looks backwards."""
    ray = ray / np.linalg.norm(ray)
    if isinstance(lens, Omni):
        return ray[:2] / (ray[2] + lens.distortion[0])
    if isinstance(lens, DoubleSphere):
        xi, alpha = lens.distortion
        second = ray + np.array([0, 0, xi])
        return ray[:2] / (alpha * np.linalg.norm(second) + (1 - alpha) * second[2])
    if isinstance(lens, Eucm):
        alpha, beta = lens.distortion
        return ray[:2] / (alpha * math.sqrt(beta * ray[:2] @ ray[:2] + ray[2] ** 2) + (1 - alpha) * ray[2])
    angle = math.acos(ray[2])
    if isinstance(lens, Fov):
        radius = math.atan(2 * math.tan(angle) * math.tan(lens.distortion[0] / 2)) / lens.distortion[0]
    else:
        radius = angle + sum(k * angle ** (3 + 2 * n) for n, k in enumerate(lens.distortion))
    return ray[:2] / np.linalg.norm(ray[:2]) * radius


@pytest.mark.parametrize("kind", ["Kannala-Brandt", "omni, no coefficients", "double sphere", "EUCM", "FOV"])
def test_it_is_what_the_papers_define_also_behind_the_camera(kind):
    lens = LENSES[kind]
    for degrees in (10, 60, 85, 97):
        angle = math.radians(degrees)
        ray = np.array([math.sin(angle) * 0.6, math.sin(angle) * 0.8, math.cos(angle)])
        if degrees > 90 and kind == "FOV":  # whose tangent knows nothing of it
            continue
        seen = spheres(ray, lens)
        np.testing.assert_allclose(lens.rays(seen[None])[0], ray, atol=1e-9)
        if degrees < 90:
            np.testing.assert_allclose(lens.distort(plane(ray[None]))[0], seen, atol=1e-12)


@pytest.mark.parametrize("kind", ["double sphere", "EUCM", "Kannala-Brandt", "FOV"])
def test_where_a_lens_shows_nothing_there_is_no_ray(kind):
    lens = Fisheye(K, SIZE, (-0.2,)) if kind == "Kannala-Brandt" else LENSES[kind]
    assert np.isnan(lens.rays(np.array([[4.0, 3.0]]))).any()


@pytest.mark.parametrize("kind", ["omni", "double sphere", "EUCM", "FOV"])
def test_an_undistorted_picture_shows_along_each_ray_what_the_lens_did(kind):
    lens = LENSES[kind]
    straight = undistortion(lens, SIZE)
    zoom = straight.intrinsics[0, 0] / (300 * lens.middle)
    assert 1 <= zoom < 2
    for column, row in ((0, 0), (320, 100), (500, 479), (639, 240)):
        shown = np.array([straight.columns[row, column], straight.rows[row, column]])
        ray = np.linalg.inv(straight.intrinsics) @ (column, row, 1.0)
        seen = spheres(ray, lens) * (300, 310) + (319.5, 239.5)
        # the coefficients of the plane are not part of the sphere
        expected = lens.distort(plane(ray[None]))[0] * (300, 310) + (319.5, 239.5) if kind == "omni" else seen
        np.testing.assert_allclose(shown, expected, atol=1e-3)


def test_how_wide_a_lens_sees():
    assert field_of(Lens(K, SIZE), SIZE) == pytest.approx(2 * math.atan(320 / 300))
    assert field_of(Fisheye(K, SIZE), SIZE) == pytest.approx(2 * 320 / 300)
    assert (
        field_of(
            DoubleSphere(K * [[0.2], [0.2], [1]] + [[0, 0, 255.6], [0, 0, 191.6], [0] * 3], SIZE, (-0.28, 0.57)), SIZE
        )
        is None
    )


CAMCHAIN = {
    "cam0": {
        "camera_model": "omni",
        "intrinsics": [1.9, 900.0, 910.0, 319.5, 239.5],
        "distortion_model": "radtan",
        "distortion_coeffs": [-0.05, 0.4, 0.001, -0.0005],
        "resolution": [640, 480],
        "rostopic": "/cam0/image_raw",
    },
    "cam1": {
        "T_cn_cnm1": np.eye(4).tolist(),
        "camera_model": "ds",
        "intrinsics": [-0.28, 0.57, 190.0, 191.0, 319.5, 239.5],
        "distortion_model": "none",
        "distortion_coeffs": [],
        "resolution": [640, 480],
    },
    "cam2": {
        "camera_model": "eucm",
        "intrinsics": [0.62, 1.03, 190.0, 191.0, 319.5, 239.5],
        "distortion_model": "none",
        "distortion_coeffs": [],
        "resolution": [640, 480],
    },
    "cam3": {
        "camera_model": "pinhole",
        "intrinsics": [190.0, 191.0, 319.5, 239.5],
        "distortion_model": "fov",
        "distortion_coeffs": [0.93],
        "resolution": [640, 480],
    },
}


def lens_of(path):
    known = read_known_cameras(path)
    known.require_lenses()
    assert known.for_all and known.cameras[0].lens is None and known.only_lens().size == SIZE
    return known.only_lens()


def test_a_camchain_of_kalibr_has_one_lens_for_each_camera(tmp_path, caplog):
    path = tmp_path / "whatever.txt"  # its content says what it is
    path.write_text(yaml.safe_dump(CAMCHAIN))
    caplog.set_level("INFO")
    assert lens_of(path).distortion == lens_of(tmp_path / "whatever.txt:cam0").distortion
    assert "has 4 cameras, and cam0 is taken" in caplog.text
    expected = [
        (Omni, (1.9, -0.05, 0.4, 0.001, -0.0005), (900.0, 910.0)),
        (DoubleSphere, (-0.28, 0.57), (190.0, 191.0)),
        (Eucm, (0.62, 1.03), (190.0, 191.0)),
        (Fov, (0.93,), (190.0, 191.0)),
    ]
    for number, (kind, distortion, focal) in enumerate(expected):
        lens = lens_of(tmp_path / f"whatever.txt:cam{number}")
        assert type(lens) is kind and lens.distortion == distortion
        assert tuple(lens.intrinsics.diagonal()[:2]) == focal and tuple(lens.intrinsics[:2, 2]) == (319.5, 239.5)
    with pytest.raises(ValueError, match="has no cam7; its cameras are called cam0, cam1, cam2, cam3"):
        read_known_cameras(tmp_path / "whatever.txt:cam7")


def test_a_mirror_of_camodocal_as_kitti_360_has_it(tmp_path):
    path = tmp_path / "image_02.yaml"
    path.write_text(
        "%YAML:1.0\n---\nmodel_type: MEI\ncamera_name: image_02\nimage_width: 640\nimage_height: 480\n"
        "mirror_parameters:\n   xi: 2.2\ndistortion_parameters:\n   k1: 0.01\n   k2: 1.6\n"
        "   p1: 0.0004\n   p2: 0.0003\nprojection_parameters:\n   gamma1: 1336\n   gamma2: 1335\n"
        "   u0: 319\n   v0: 240\n"
    )
    lens = lens_of(path)
    assert type(lens) is Omni and lens.distortion == (2.2, 0.01, 1.6, 0.0004, 0.0003, 0)
    assert lens.intrinsics[0, 0] == 1336 and lens.intrinsics[1, 2] == 240


def test_a_fisheye_of_camodocal(tmp_path):
    path = tmp_path / "cam0.yaml"
    path.write_text(
        "%YAML:1.0\n---\nmodel_type: KANNALA_BRANDT\nimage_width: 640\nimage_height: 480\nprojection_parameters:\n"
        "   k2: 0.1\n   k3: -0.02\n   k4: 0.003\n   k5: 0.001\n   mu: 300\n   mv: 301\n   u0: 319\n   v0: 240\n"
    )
    lens = lens_of(path)
    assert type(lens) is Fisheye and lens.distortion == (0.1, -0.02, 0.003, 0.001) and lens.intrinsics[1, 1] == 301


def test_a_calibration_of_basalt(tmp_path):
    of_camera = {"fx": 190.0, "fy": 191.0, "cx": 319.5, "cy": 239.5, "xi": -0.28, "alpha": 0.57}
    content = {"value0": {"intrinsics": [{"camera_type": "ds", "intrinsics": of_camera}], "resolution": [[640, 480]]}}
    (tmp_path / "calib.json").write_text(json.dumps(content))
    lens = lens_of(tmp_path / "calib.json")
    assert type(lens) is DoubleSphere and lens.distortion == (-0.28, 0.57)


@pytest.mark.parametrize(
    ("line", "kind", "distortion"),
    [
        ("FOV 640 480 500 510 320 240 0.9", Fov, (0.9,)),
        ("EUCM 640 480 500 510 320 240 0.6 1.1", Eucm, (0.6, 1.1)),
        ("FISHEYE 640 480 500 510 320 240", Fisheye, ()),
    ],
)
def test_models_of_colmap(line, kind, distortion, tmp_path):
    (tmp_path / "cameras.txt").write_text(f"1 {line}\n")
    lens = lens_of(tmp_path / "cameras.txt")
    assert type(lens) is kind and lens.distortion == distortion and lens.intrinsics[0, 2] == 319.5


@pytest.mark.parametrize(
    ("words", "kind", "distortion"),
    [
        ("omni:1.9,-0.05,0.4", Omni, (1.9, -0.05, 0.4)),
        ("ds:-0.28,0.57", DoubleSphere, (-0.28, 0.57)),
        ("eucm:0.62,1.03", Eucm, (0.62, 1.03)),
        ("fov:0.9", Fov, (0.9,)),
        ("fisheye:0.1", Fisheye, (0.1,)),
    ],
)
def test_the_flag_says_the_same(words, kind, distortion):
    lens = read_intrinsics("300,310,319.5,239.5", words).only_lens()
    assert type(lens) is kind and lens.distortion == distortion


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("ds:-0.28", "no DoubleSphere lens; expected are xi from -0.999 to 100, alpha from 0 to 1"),
        ("ds:-0.28,1.5", "alpha from 0 to 1"),
        ("omni:0.9,a", "--distortion is"),
        ("division:0.1", "ds:xi,alpha"),
        ("eucm:0.5,1,2", "eucm:alpha,beta"),
    ],
)
def test_parameters_that_are_none_are_refused(words, part):
    with pytest.raises(ValueError, match=part):
        read_intrinsics("300,310,319.5,239.5", words)
