"""Known cameras of every format: a point in the world is seen at the same pixel, whatever the format's habits."""

import json
import struct

import cv2
import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cut3r.geometry.cameras import project
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import invert, pose_from_parts, quaternion_from_matrix, transform
from cut3r.io.known_cameras import Fisheye, KnownCameras, Lens
from cut3r.io.known_files import read_known_cameras
from cut3r.io.trajectory import write_kitti, write_tum

SIZE = (480, 640)
FX, FY, CX, CY = 510.0, 520.0, 330.25, 228.5  # from the centre of the top-left pixel
NAMES = ["a/IMG_10.jpg", "a/IMG_9.jpg", "b/IMG 11.jpg"]
FLIP = np.diag((1.0, -1.0, -1.0, 1.0))


def truth() -> np.ndarray:
    """Three cameras, turned about all axes."""
    turns = torch.tensor([[0.3, -1.1, 0.5], [2.9, 0.1, -0.4], [-0.2, 0.7, 1.9]], dtype=torch.float64)
    places = torch.tensor([[1.0, -2.0, 0.5], [0.1, 0.2, -3.0], [-4.0, 1.0, 2.0]], dtype=torch.float64)
    return pose_from_parts(rotation_from_vector(turns), places).numpy()


def colmap_poses() -> np.ndarray:
    """Rows QW QX QY QZ TX TY TZ of cam_from_world."""
    cam_from_world = invert(torch.from_numpy(truth()))
    return torch.cat((quaternion_from_matrix(cam_from_world[:, :3, :3]), cam_from_world[:, :3, 3]), dim=1).numpy()


def write_colmap_text(folder):
    (folder / "cameras.txt").write_text(f"# Camera list\n7 PINHOLE 640 480 {FX} {FY} {CX + 0.5} {CY + 0.5}\n")
    points = ["10.5 20.5 -1 11 21 3", "", "1 2 -1"]  # an image may have none
    rows = zip(colmap_poses(), NAMES, points, strict=True)
    lines = [f"{k} {' '.join(map(repr, row.tolist()))} 7 {name}\n{seen}\n" for k, (row, name, seen) in enumerate(rows)]
    (folder / "images.txt").write_text("# Image list\n# POINTS2D[]\n" + "".join(lines))
    return folder


def write_colmap_binary(folder):
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    camera = struct.pack("<QiiQQ4d", 1, 7, 1, 640, 480, FX, FY, CX + 0.5, CY + 0.5)
    (model / "cameras.bin").write_bytes(camera)
    data = struct.pack("<Q", 3)
    for k, (row, name) in enumerate(zip(colmap_poses(), NAMES, strict=True)):
        data += struct.pack("<I7dI", k, *row, 7) + name.encode() + b"\0"
        data += struct.pack("<Q", k) + k * struct.pack("<ddq", 1.0, 2.0, -1)
    (model / "images.bin").write_bytes(data)
    return folder


def write_transforms(folder):
    frames = [
        {"file_path": f"images/{name}", "transform_matrix": (camera @ FLIP).tolist()}
        for name, camera in zip(NAMES, truth(), strict=True)
    ]
    top = {"fl_x": FX, "fl_y": FY, "cx": CX + 0.5, "cy": CY + 0.5, "w": 640, "h": 480, "k1": 0.0}
    (folder / "anything.json").write_text(json.dumps(top | {"frames": frames}))
    return folder / "anything.json"


def write_scanner_app(folder):
    for name, camera in zip(NAMES, truth(), strict=True):
        content = {
            "cameraPoseARFrame": (camera @ FLIP).ravel().tolist(),
            "intrinsics": [FX, 0, CX, 0, FY, CY, 0, 0, 1],
            "time": 1.5,
        }
        (folder / f"{name[2:-4]}.json").write_text(json.dumps(content))
    (folder / "info.json").write_text('{"title": "a scan"}')
    return folder


def write_polycam(folder):
    cameras = folder / "keyframes" / "corrected_cameras"
    cameras.mkdir(parents=True)
    for name, camera in zip(NAMES, truth(), strict=True):
        pose = {f"t_{i}{j}": (camera @ FLIP)[i, j] for i in range(3) for j in range(4)}
        lens = {"fx": FX, "fy": FY, "cx": CX, "cy": CY, "width": 640, "height": 480, "blur_score": 1.0}
        (cameras / f"{name[2:-4]}.json").write_text(json.dumps(pose | lens))
    return folder


def write_record3d(folder):
    turned = torch.from_numpy(truth() @ FLIP)
    quaternions = quaternion_from_matrix(turned[:, :3, :3]).numpy()[:, [1, 2, 3, 0]]
    poses = np.concatenate((quaternions, turned[:, :3, 3].numpy()), axis=1)
    content = {"K": [FX, 0, 0, 0, FY, 0, CX, CY, 1], "w": 640, "h": 480, "fps": 60, "poses": poses.tolist()}
    (folder / "metadata").write_text(json.dumps(content))
    return folder


def write_trajectory(writer):
    def write(folder):
        writer(folder / "poses.txt")
        return folder / "poses.txt"

    return write


FORMATS = {
    "COLMAP text": write_colmap_text,
    "COLMAP binary": write_colmap_binary,
    "transforms.json": write_transforms,
    "3D Scanner App": write_scanner_app,
    "Polycam": write_polycam,
    "Record3D": write_record3d,
    "TUM": write_trajectory(lambda path: write_tum(path, truth(), np.array([0.0, 0.5, 1.0]))),
    "KITTI": write_trajectory(lambda path: write_kitti(path, truth())),
}


def in_truths_order(known: KnownCameras) -> list:
    """Cameras in the order of NAMES; formats with one file per picture have their own."""
    if known.cameras[0].name is None or known.cameras[0].name.isdigit():
        return list(known.cameras)
    by_stem = {camera.name.rpartition("/")[2].removesuffix(".jpg"): camera for camera in known.cameras}
    return [by_stem[name[2:-4]] for name in NAMES]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_point_is_seen_at_the_same_pixel(kind, tmp_path):
    cameras = in_truths_order(read_known_cameras(FORMATS[kind](tmp_path)))
    assert len(cameras) == 3
    intrinsics = torch.tensor([[FX, 0, CX], [0, FY, CY], [0, 0, 1]], dtype=torch.float64)
    for camera, world_from_cam in zip(cameras, truth(), strict=True):
        point = transform(torch.from_numpy(world_from_cam), torch.tensor([0.4, -0.3, 2.0], dtype=torch.float64))
        lens = intrinsics if camera.lens is None else torch.from_numpy(camera.lens.at(SIZE))
        pixel, depth = project(transform(invert(torch.from_numpy(camera.world_from_cam)), point), lens)
        assert float(depth) == pytest.approx(2.0, abs=1e-6)
        assert pixel.tolist() == pytest.approx([FX * 0.2 + CX, FY * -0.15 + CY], abs=1e-4)
    assert (cameras[0].lens is None) == (kind in ("TUM", "KITTI"))


def test_a_camera_frame_column_by_column_is_understood(tmp_path):
    path = tmp_path / "frame_00001.json"
    content = {
        "cameraPoseARFrame": (truth()[0] @ FLIP).T.ravel().tolist(),
        "intrinsics": [FX, 0, 0, 0, FY, 0, CX, CY, 1],
    }
    path.write_text(json.dumps(content))
    camera = read_known_cameras(path).cameras[0]
    np.testing.assert_allclose(camera.world_from_cam, truth()[0], atol=1e-12)
    assert camera.lens.intrinsics[0, 2] == CX


CALIBRATIONS = {
    "ours": f"fx: {FX}\nfy: {FY}\ncx: {CX}\ncy: {CY}\nwidth: 640\nheight: 480\n",
    "JSON": json.dumps({"fx": FX, "fy": FY, "cx": CX, "cy": CY, "width": 640, "height": 480}),
    "ROS": yaml.safe_dump(
        {
            "image_width": 640,
            "image_height": 480,
            "camera_name": "narrow",
            "camera_matrix": {"rows": 3, "cols": 3, "data": [FX, 0, CX, 0, FY, CY, 0, 0, 1]},
            "distortion_model": "plumb_bob",
            "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0.0] * 5},
        }
    ),
    "OpenCV": "%YAML:1.0\n---\nimage_width: 640\nimage_height: 480\n"
    "camera_matrix: !!opencv-matrix\n   rows: 3\n   cols: 3\n"
    f"   dt: d\n   data: [ {FX}, 0., {CX}, 0., {FY},\n       {CY}, 0., 0., 1. ]\n",
    "Kalibr": f"cam0:\n  camera_model: pinhole\n  intrinsics: [{FX}, {FY}, {CX}, {CY}]\n  resolution: [640, 480]\n"
    "  distortion_model: radtan\n  distortion_coeffs: [0, 0, 0, 0]\n",
    "numbers": f"{FX} {FY} {CX} {CY}\n",
    "matrix": f"{FX} 0 {CX}\n0 {FY} {CY}\n0 0 1\n",
}


@pytest.mark.parametrize("kind", CALIBRATIONS)
def test_calibrations_of_all_kinds_are_one_camera_for_all(kind, tmp_path):
    (tmp_path / "camera").write_text(CALIBRATIONS[kind])
    known = read_known_cameras(tmp_path / "camera")
    assert known.for_all and len(known) == 1
    np.testing.assert_allclose(known.only_lens().at(SIZE), [[FX, 0, CX], [0, FY, CY], [0, 0, 1]])
    if kind not in ("numbers", "matrix"):
        assert known.only_lens().size == SIZE


@pytest.mark.parametrize(
    ("line", "focal", "distortion"),
    [
        ("SIMPLE_PINHOLE 640 480 500 320 240", (500, 500), ()),
        ("SIMPLE_RADIAL 640 480 500 320 240 0.01", (500, 500), (0.01, 0, 0, 0)),
        ("RADIAL 640 480 500 320 240 0.01 -0.02", (500, 500), (0.01, -0.02, 0, 0)),
        ("OPENCV 640 480 500 510 320 240 0.01 -0.02 0.003 0.004", (500, 510), (0.01, -0.02, 0.003, 0.004)),
    ],
)
def test_models_of_colmap(line, focal, distortion, tmp_path):
    (tmp_path / "cameras.txt").write_text(f"1 {line}\n")
    lens = read_known_cameras(tmp_path / "cameras.txt").only_lens()
    assert tuple(lens.intrinsics.diagonal()[:2]) == focal and lens.intrinsics[0, 2] == 319.5
    assert lens.distortion[: len(distortion)] == distortion and not any(lens.distortion[len(distortion) :])


def fisheye_colmap(folder):
    (folder / "cameras.txt").write_text("7 OPENCV_FISHEYE 640 480 500 510 320 240 0.1 -0.02 0.003 0.001\n")
    return folder / "cameras.txt"


def fisheye_transforms(folder):
    top = {"camera_model": "OPENCV_FISHEYE", "fl_x": 500, "fl_y": 510, "cx": 320, "cy": 240, "w": 640, "h": 480}
    frames = [{"file_path": "a.png", "transform_matrix": np.eye(4).tolist()}]
    bent = {"k1": 0.1, "k2": -0.02, "k3": 0.003, "k4": 0.001}
    (folder / "transforms.json").write_text(json.dumps(top | bent | {"frames": frames}))
    return folder / "transforms.json"


def fisheye_kalibr(folder):
    said = {
        "camera_model": "pinhole",
        "distortion_model": "equidistant",
        "intrinsics": [500, 510, 319.5, 239.5],
        "distortion_coeffs": [0.1, -0.02, 0.003, 0.001],
        "resolution": [640, 480],
    }
    (folder / "camchain.yaml").write_text(yaml.safe_dump({"cam0": said}))
    return folder / "camchain.yaml"


@pytest.mark.parametrize("write", [fisheye_colmap, fisheye_transforms, fisheye_kalibr])
def test_a_fisheye_is_one_in_every_format_and_sees_what_opencv_sees(tmp_path, write):
    known = read_known_cameras(write(tmp_path))
    known.require_lenses()
    lens = known.only_lens()
    assert known.cameras[0].lens is None and known.cameras[0].no_lens and isinstance(lens, Fisheye)
    rays = np.random.default_rng(0).uniform(-2, 2, (50, 2))
    points = np.concatenate((rays, np.ones((50, 1))), axis=1)[:, None]
    coefficients = np.array([0.1, -0.02, 0.003, 0.001])
    seen, _ = cv2.fisheye.projectPoints(points, np.zeros(3), np.zeros(3), lens.intrinsics, coefficients)
    ours = lens.distort(rays) * lens.intrinsics.diagonal()[:2] + lens.intrinsics[:2, 2]
    np.testing.assert_allclose(ours, seen[:, 0], atol=1e-9)
    np.testing.assert_allclose(lens.distort(np.zeros((1, 2))), 0)


def test_a_model_that_is_neither_pinhole_nor_fisheye_gives_poses_but_no_intrinsics(tmp_path):
    write_colmap_text(tmp_path)
    (tmp_path / "cameras.txt").write_text("7 SIMPLE_DIVISION 640 480 500 320 240 0.9\n")
    known = read_known_cameras(tmp_path)
    known.require_poses()
    with pytest.raises(ValueError, match="SIMPLE_DIVISION is no pinhole camera; undistort"):
        known.require_lenses()


@given(scale=st.sampled_from([1, 2, 4, 5]), x=st.floats(-0.4, 0.4), y=st.floats(-0.3, 0.3))
@settings(max_examples=20)
def test_a_resized_picture_shows_the_same_at_the_same_share_of_its_side(scale, x, y):
    lens, point = Lens.of(FX, FY, CX, CY, SIZE), torch.tensor([x, y, 1.0], dtype=torch.float64)
    h, w = SIZE[0] // scale, SIZE[1] // scale
    full, _ = project(point, torch.from_numpy(lens.at(SIZE)))
    small, _ = project(point, torch.from_numpy(lens.at((h, w))))
    torch.testing.assert_close((small + 0.5) * scale, full + 0.5)


@pytest.mark.parametrize(("size", "part"), [((640, 480), "which was turned"), ((480, 480), "480x480; give")])
def test_a_picture_of_another_shape_is_refused(size, part):
    with pytest.raises(ValueError, match=part):
        Lens.of(FX, FY, CX, CY, SIZE).at(size)


def test_a_calibration_of_another_resolution_is_noticed():
    with pytest.raises(ValueError, match="outside of a picture of 320x240"):
        Lens.of(FX, FY, CX, CY).at((240, 320))


MIRROR = np.diag((1.0, 1.0, -1.0, 1.0)).tolist()
WRONG = {
    "mirror": (
        f'{{"frames": [{{"file_path": "a.jpg", "transform_matrix": {MIRROR}}}]}}',
        r"frame 0 \(a\.jpg\).*mirror",
    ),
    "nan": ('{"t_00": NaN, "t_23": 0, "fx": 1}', "t_00 is NaN; expected a finite number"),
    "zero quaternion": (
        '{"K": [1,0,0,0,1,0,1,1,1], "w": 2, "h": 2, "poses": [[0,0,0,1,0,0,0],[0,0,0,0,0,0,0]]}',
        "frame 1: its pose is no rigid motion",
    ),
    "TUM nan": ("0 1 2 3 0 0 0 1\n1 nan 2 3 0 0 0 1\n", "line 2: all numbers must be finite"),
    "TUM zero quaternion": ("0 1 2 3 0 0 0 0\n", "line 1: its quaternion has no direction"),
    "KITTI scale": ("2 0 0 0 0 2 0 0 0 0 2 0\n", "line 1: it is no rotation"),
    "no name": (f'{{"frames": [{{"transform_matrix": {MIRROR}}}]}}', "there is no file_path"),
    "broken JSON": ('{"frames": [', "is no JSON file"),
    "other JSON": ('{"hello": 1}', "no calibration that is known"),
    "other YAML": ("hello: 1\n", "no calibration that is known"),
    "prose": ("Dear reader\nthis is a letter\n", "expected is a COLMAP model"),
    "columns": ("1 2 3 4 5\n", "5 numbers in a line; expected is"),
    "empty": ("# nothing\n", "is empty"),
    "binary": ("\0\1\2\3", "not understood"),
    "focal": ("fx: -1\nfy: 1\ncx: 1\ncy: 1\n", "fx and fy above 0"),
    "word": ("fx: wide\nfy: 1\ncx: 1\ncy: 1\n", 'fx is "wide"; expected a finite number'),
    "no matrix": ("camera_matrix: {data: [1, 2, 3]}\n", "has 3 numbers; expected a 3x3 matrix"),
    "no poses": ('{"frames": [{"file_path": "a", "transform_matrix": [1, 2]}]}', "expected a list of 16 numbers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_sentence_that_names_the_file(case, tmp_path):
    text, message = WRONG[case]
    path = tmp_path / "given"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_known_cameras(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value).split(" (")[0]


COLMAP_WRONG = {
    "quaternion": ("images.txt", "1 0 0 0 0 1 2 3 7 a.jpg\n\n", "images.txt, line 1: its pose is no rigid motion"),
    "words": ("images.txt", "1 1 0 0 0 1 2 3\n\n", "line 1: 8 words; expected IMAGE_ID"),
    "camera": ("images.txt", "1 1 0 0 0 1 2 3 8 a.jpg\n\n", "a.jpg has camera 8, which cameras.txt lacks"),
    "model": ("cameras.txt", "7 WIDE 640 480 1 2 3\n", "line 1: camera model WIDE is unknown"),
    "parameters": ("cameras.txt", "7 PINHOLE 640 480 1 2 3\n", "line 1: 3 parameters for camera model PINHOLE"),
    "focal": ("cameras.txt", "7 PINHOLE 640 480 0 2 3 4\n", "line 1: its numbers are no camera"),
}


@pytest.mark.parametrize("case", COLMAP_WRONG)
def test_a_wrong_line_of_a_model_is_named(case, tmp_path):
    name, text, message = COLMAP_WRONG[case]
    write_colmap_text(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_known_cameras(tmp_path)


def test_a_model_that_is_broken_off_is_refused(tmp_path):
    images = write_colmap_binary(tmp_path) / "sparse" / "0" / "images.bin"
    images.write_bytes(images.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"images\.bin is no COLMAP file, or broken off"):
        read_known_cameras(tmp_path)


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin"])
def test_any_file_of_a_model_stands_for_it(name, tmp_path):
    assert len(read_known_cameras(write_colmap_binary(tmp_path) / "sparse" / "0" / name)) == 3


def test_a_folder_without_cameras_and_a_file_that_is_not_there_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no cameras that are known here"):
        read_known_cameras(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected is a COLMAP model"):
        read_known_cameras(tmp_path / "nothing")


def test_what_opencv_writes_is_read(tmp_path):
    path = str(tmp_path / "camera.yml")
    storage = cv2.FileStorage(path, cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 640)
    storage.write("image_height", 480)
    storage.write("camera_matrix", np.array([[FX, 0, CX], [0, FY, CY], [0, 0, 1]]))
    storage.write("distortion_coefficients", np.array([[0.01, -1e-5, 0.0, 0.0, 3e-7]]))
    storage.release()
    lens = read_known_cameras(tmp_path / "camera.yml").only_lens()
    np.testing.assert_allclose(lens.at(SIZE), [[FX, 0, CX], [0, FY, CY], [0, 0, 1]])
    assert lens.distortion == (0.01, -1e-5, 0.0, 0.0, 3e-7) and lens.size == SIZE


@pytest.mark.parametrize("write", ["write_text", "write_binary"])
def test_what_colmap_writes_is_read_and_projects_as_colmap_does(write, tmp_path):
    pycolmap = pytest.importorskip("pycolmap")
    model = pycolmap.Reconstruction()
    parameters = [FX, FY, CX + 0.5, CY + 0.5, 0.0, 0.0, 0.0, 0.0]
    camera = pycolmap.Camera(model="OPENCV", width=640, height=480, params=parameters, camera_id=3)
    model.add_camera_with_trivial_rig(camera)
    for number, (row, name) in enumerate(zip(colmap_poses(), NAMES, strict=True), start=1):
        image = pycolmap.Image(name=name, camera_id=3, image_id=number)
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(row[[1, 2, 3, 0]]), row[4:])
        model.add_image_with_trivial_frame(image, pose)
    getattr(model, write)(str(tmp_path))
    cameras = read_known_cameras(tmp_path).cameras
    assert {known.name for known in cameras} == set(NAMES)
    point_cam = torch.tensor([0.3, -0.2, 2.0], dtype=torch.float64)
    for known in cameras:
        image = next(image for image in model.images.values() if image.name == known.name)
        point = transform(torch.from_numpy(known.world_from_cam), point_cam).numpy()
        np.testing.assert_allclose(image.cam_from_world() * point, point_cam.numpy(), atol=1e-9)
        pixel, _ = project(point_cam, torch.from_numpy(known.lens.at(SIZE)))
        np.testing.assert_allclose(pixel.numpy() + 0.5, camera.img_from_cam(point_cam.numpy()), atol=1e-6)
