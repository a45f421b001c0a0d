"""The ROS 2 node, with as much of ROS as it uses."""

import ast
import importlib
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import torch

from cut3r.geometry.poses import matrix_from_quaternion, pose_from_parts

pytest.importorskip("rosbags", reason="no messages without rosbags")

from tests.io.bags import ROS2, camera_info, image
from tests.ros import fake_ros

PACKAGE = Path(__file__).parents[2] / "ros" / "cut3r_ros"


@pytest.fixture
def convert(monkeypatch):
    monkeypatch.syspath_prepend(PACKAGE)
    return importlib.import_module("cut3r_ros.convert")


def random_pose(seed):
    generator = torch.Generator().manual_seed(seed)
    quaternion = torch.randn(4, generator=generator, dtype=torch.float64)
    place = torch.randn(3, generator=generator, dtype=torch.float64)
    return pose_from_parts(matrix_from_quaternion(quaternion), place).numpy()


@pytest.mark.parametrize("seed", range(8))
def test_a_quaternion_is_x_y_z_w_and_gives_its_rotation_back(convert, seed):
    pose = random_pose(seed)
    place, xyzw = convert.position_and_quaternion(pose)
    assert np.linalg.norm(xyzw) == pytest.approx(1) and xyzw[3] >= 0
    np.testing.assert_allclose(place, pose[:3, 3])
    wxyz = torch.from_numpy(xyzw[[3, 0, 1, 2]])
    np.testing.assert_allclose(matrix_from_quaternion(wxyz).numpy(), pose[:3, :3], atol=1e-12)


def test_a_quarter_turn_about_z_is_known(convert):
    turn = np.eye(4)
    turn[:2, :2] = [[0, -1], [1, 0]]
    np.testing.assert_allclose(convert.position_and_quaternion(turn)[1], [0, 0, 0.5**0.5, 0.5**0.5])


def test_the_world_of_ros_has_x_ahead_y_left_z_up(convert):
    """What lies ahead of, right of and below the first camera."""
    ahead, right, below = np.array([0, 0, 2.0, 1]), np.array([3.0, 0, 0, 1]), np.array([0, 4.0, 0, 1])
    at = convert.map_from_camera(np.eye(4))
    np.testing.assert_allclose((at @ ahead)[:3], [2, 0, 0])
    np.testing.assert_allclose((at @ right)[:3], [0, -3, 0])
    np.testing.assert_allclose((at @ below)[:3], [0, 0, -4])
    assert np.linalg.det(at[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(convert.position_and_quaternion(at)[1], [-0.5, 0.5, -0.5, 0.5])  # of every optical frame


def test_bytes_of_a_cloud_are_read_back(convert):
    points = np.random.default_rng(0).normal(size=(5, 3))
    colors = np.array([[1, 2, 3], [255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)
    data = convert.cloud(points, colors, np.arange(5) + 1.0).tobytes()
    assert [(name, offset) for name, offset, _ in convert.FIELDS] == [
        *[("x", 0), ("y", 4), ("z", 8), ("rgb", 12), ("confidence", 16)]
    ]
    floats = np.frombuffer(data, "<f4").reshape(5, 5)
    np.testing.assert_allclose(floats[:, :3], points, rtol=1e-6)
    np.testing.assert_allclose(floats[:, 4], [1, 2, 3, 4, 5])
    bits = np.frombuffer(data, "<u4").reshape(5, 5)[:, 3]
    np.testing.assert_array_equal(np.stack((bits >> 16 & 255, bits >> 8 & 255, bits & 255), axis=1), colors)


@pytest.mark.parametrize(
    ("count", "most", "left"), [(10, 20, 10), (10, 10, 10), (11, 10, 6), (1000, 10, 10), (0, 5, 0)]
)
def test_a_cloud_is_thinned_evenly(convert, count, most, left):
    assert len(range(count)[convert.spread(count, most)]) == left


@pytest.fixture
def node(monkeypatch, tiny_linear, tmp_path):
    """The node with a tiny network, and the transforms that it sends."""
    from cut3r.weights.checkpoint import save

    save(tiny_linear, tmp_path / "weights.safetensors")
    monkeypatch.syspath_prepend(PACKAGE)
    sent = fake_ros.install(monkeypatch)
    given = {"model": str(tmp_path / "weights.safetensors"), "device": "cpu", "confidence": 0.0, "path_length": 2}
    monkeypatch.setattr(fake_ros.FakeNode, "given", given)
    monkeypatch.delitem(sys.modules, "cut3r_ros.node", raising=False)
    made = importlib.import_module("cut3r_ros.node").Reconstructor()
    yield made, sent
    made.end()
    monkeypatch.delitem(sys.modules, "cut3r_ros.node", raising=False)


def picture(number, size=(48, 64)):
    return image(ROS2, number, np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8))


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.01)


def test_a_picture_becomes_a_pose_depth_and_points_of_its_time(node):
    made, sent = node
    take = made.subscribed["image"][1]
    made.subscribed["camera_info"][1](camera_info(ROS2, (48, 64), focal=50.0))
    for number in range(3):
        take(picture(number))
        wait_for(lambda number=number: len(made.published["~/points"]) == number + 1)
    stamp = picture(2).header.stamp
    for topic in ("~/pose", "~/depth", "~/depth/camera_info", "~/points"):
        assert made.published[topic][2].header.stamp == stamp
    pose, transform = made.published["~/pose"][2], sent[2]
    assert pose.header.frame_id == transform.header.frame_id == "map" and transform.child_frame_id == "camera"
    assert (transform.transform.translation.x, transform.transform.rotation.w) == (
        *(pose.pose.position.x, pose.pose.orientation.w),
    )
    assert len(made.published["~/path"][2].poses) == 2, "it is bounded"
    depth, info, points = (made.published[f"~/{name}"][2] for name in ("depth", "depth/camera_info", "points"))
    values = depth.data.view("<f4").reshape(depth.height, depth.width)
    assert depth.encoding == "32FC1" and depth.header.frame_id == points.header.frame_id == "camera"
    assert info.k[0] == pytest.approx(50.0, rel=1e-6) and info.p[2] == info.k[2] and info.width == depth.width
    rows = np.frombuffer(points.data, np.dtype("<f4")).reshape(points.width, 5)
    assert 0 < points.width <= np.isfinite(values).sum() and points.row_step == len(points.data)
    finite = np.sort(values[np.isfinite(values)])
    assert np.isin(rows[:, 2].round(5), finite.round(5)).mean() > 0.99, "z of points is the depth"


def test_what_comes_while_the_network_works_is_dropped_and_counted(node, monkeypatch):
    made, _ = node
    take, push, seen = made.subscribed["image"][1], made.session.push, []

    def slow(frame):
        seen.append(frame.name)
        time.sleep(0.3)
        return push(frame)

    monkeypatch.setattr(made.session, "push", slow)
    take(picture(0))
    wait_for(lambda: len(seen) == 1)
    for number in range(1, 6):
        take(picture(number))
    wait_for(lambda: len(seen) == 2 and len(made.published["~/points"]) == 2)
    assert seen[1].endswith("500000000"), "the newest one"
    assert made.dropped == 4
    assert made.said == ["dropped 1 pictures, 0 are done: too slow for all"]


def test_what_cannot_be_used_is_said_and_does_not_end_the_node(node):
    made, _ = node
    made.subscribed["camera_info"][1](camera_info(ROS2, (48, 64), focal=0.0))
    made.subscribed["image"][1](image(ROS2, 0, encoding="theora"))
    wait_for(lambda: len(made.said) == 2)
    made.subscribed["image"][1](picture(1))
    wait_for(lambda: made.published["~/points"])
    assert "the camera was not calibrated" in made.said[0] and "its encoding 'theora' is not known" in made.said[1]


@pytest.mark.parametrize(("given", "text"), [(False, "off"), ("off", "off"), (100, "100"), ("100", "100")])
def test_parameters_may_come_as_yaml_reads_them(node, given, text, monkeypatch):
    """`-p reset_every:=off` reaches a node as false, and :=100 as a number."""
    made, _ = node
    monkeypatch.setitem(made.given, "reset_every", given)
    other = type(made)()
    other.end()
    assert other.chosen["reset_every"] == text and type(other.chosen["max_points"]) is int


def test_an_error_of_the_network_ends_the_node_and_is_said(node, monkeypatch):
    made, _ = node
    ended = []
    monkeypatch.setattr(sys.modules["rclpy"], "try_shutdown", lambda: ended.append(True))

    def broken(frame):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(made.session, "push", broken)
    made.subscribed["image"][1](picture(0))
    wait_for(lambda: ended)
    assert "the node ends" in made.said[-1] and "out of memory" in made.said[-1]


def test_colcon_finds_what_the_package_promises():
    root = ElementTree.parse(PACKAGE / "package.xml").getroot()
    assert root.findtext("name") == "cut3r_ros" and root.findtext("export/build_type") == "ament_python"
    setup = (PACKAGE / "setup.py").read_text()
    for file in ("resource/cut3r_ros", "package.xml", "launch/cut3r.launch.py"):
        assert file in setup and (PACKAGE / file).is_file()
    launch = ast.parse((PACKAGE / "launch" / "cut3r.launch.py").read_text())
    arguments = next(ast.literal_eval(each.value) for each in launch.body if isinstance(each, ast.Assign))
    node = ast.parse((PACKAGE / "cut3r_ros" / "node.py").read_text())
    parameters = next(
        ast.literal_eval(each.value)
        for each in node.body
        if isinstance(each, ast.Assign) and each.targets[0].id == "PARAMETERS"
    )
    assert set(arguments) - {"image", "camera_info"} <= set(parameters)
    needed = {each.text for each in root.findall("exec_depend")}
    imported = {each.module.split(".")[0] for each in ast.walk(node) if isinstance(each, ast.ImportFrom)}
    assert imported - {"cut3r", "cut3r_ros"} <= needed | {"typing"}
