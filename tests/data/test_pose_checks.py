from dataclasses import replace

import numpy as np
import pytest

from cut3r.data.diagnosis import diagnose
from cut3r.data.geometry_report import SceneReport, geometry_table, hypothesis_table
from cut3r.data.pose_checks import check_sequence
from tests.data.walk_frames import pairs_of, walk_frames

SMALL = {"size": (24, 32), "frames": 30}


def checked(frames):
    return check_sequence((f"{i:03d}", frame) for i, frame in enumerate(frames))


def moved(frame, x):
    pose = frame.world_from_cam.copy()
    pose[0, 3] += x
    return replace(frame, world_from_cam=pose)


def turned(frame, degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, 0], [0, 0, 0, 1]])
    return replace(frame, world_from_cam=frame.world_from_cam @ turn)


@pytest.mark.parametrize("seed", range(4))
def test_a_walk_has_nothing_to_say(seed):
    found = checked(walk_frames(seed, **SMALL))
    assert found.frames == 30 and set(found.known_depth) == {1.0}
    assert not (found.jumps or found.no_pose or found.duplicates or found.held_poses or found.changed_intrinsics)
    assert not (found.coded_depth or found.not_orthonormal)


@pytest.mark.parametrize("unit", [1.0, 1000.0])
@pytest.mark.parametrize("where", [1, 12, 28])
def test_a_wrong_pose_is_named_alone(where, unit):
    frames = list(walk_frames(0, **SMALL))
    frames[where] = moved(frames[where], 1.5)
    for i, frame in enumerate(frames):
        pose = frame.world_from_cam.copy()
        pose[:3, 3] *= unit
        frames[i] = replace(frame, world_from_cam=pose, depth=frame.depth * np.float32(unit))
    (jump,) = checked(frames).jumps
    assert jump.frame == f"{where:03d}" and jump.alone and jump.step_multiple > 8


def test_a_wrong_rotation_is_named():
    frames = list(walk_frames(1, **SMALL))
    frames[9] = turned(frames[9], 120)
    (jump,) = checked(frames).jumps
    assert jump.frame == "009" and jump.alone and jump.turn_multiple > 8 > jump.step_multiple


def test_a_cut_is_named_once():
    frames = walk_frames(0, **SMALL)
    (jump,) = checked([*frames[:14], *(moved(frame, 3) for frame in frames[14:])]).jumps
    assert jump.frame == "014" and not jump.alone


def test_a_camera_on_a_tripod_does_not_jump():
    frame = walk_frames(0, **SMALL)[0]
    rng = np.random.default_rng(0)
    still = [replace(frame, rgb=rng.integers(0, 256, frame.rgb.shape, dtype=np.uint8)) for _ in range(9)]
    assert checked(still) == replace(checked(still), jumps=(), held_poses=(), duplicates=())
    assert not checked([moved(f, 1e-3 * rng.standard_normal()) for f in still]).jumps


def test_repeated_pictures_held_poses_and_lost_poses_are_named():
    frames = list(walk_frames(0, **SMALL))
    frames[5] = frames[4]
    frames[8] = replace(frames[8], world_from_cam=frames[7].world_from_cam)
    frames[20] = replace(frames[20], world_from_cam=np.full((4, 4), -np.inf))
    found = checked(frames)
    assert found.duplicates == (("004", "005"),) and found.held_poses == (("007", "008"),)
    assert found.no_pose == ("020",) and not found.jumps


def test_known_depth_and_changed_intrinsics_are_counted():
    frames = list(walk_frames(0, **SMALL))
    depth = frames[3].depth.copy()
    depth[:12], depth[12:18] = 0, -1
    frames[3] = replace(frames[3], depth=depth)
    zoomed = frames[10].intrinsics.copy()
    zoomed[0, 0] *= 1.01
    frames[10] = replace(frames[10], intrinsics=zoomed)
    found = checked(frames)
    assert found.known_depth[3] == 0.25 and found.changed_intrinsics == ("010", "011")


def test_a_depth_that_stands_for_something_else_is_named():
    frames = list(walk_frames(0, **SMALL))
    sky, flat, one = (frames[number].depth.copy() for number in (3, 4, 5))
    sky[:2], flat[:], one[0, 0] = 1000, 2, 1000
    for number, depth in ((3, sky), (4, flat), (5, one)):
        frames[number] = replace(frames[number], depth=depth)
    found = checked(frames)
    assert found.coded_depth == (("003", 1000.0), ("004", 2.0)), "one far pixel is no code"
    assert "the largest depth (1000) fills many pixels" in geometry_table([SceneReport("a", sequence=found)])


def test_rotations_in_half_precision_are_named():
    frames = list(walk_frames(0, **SMALL))
    for number, kind in ((7, np.float16), (9, np.float32)):
        pose = frames[number].world_from_cam.astype(kind).astype(np.float64)
        frames[number] = replace(frames[number], world_from_cam=pose)
    assert checked(frames).not_orthonormal == ("007",)


def test_no_frames_are_an_error():
    with pytest.raises(ValueError, match="no frames to check"):
        check_sequence([])


def test_the_table_says_what_is_wrong():
    frames = list(walk_frames(0))
    inverted = [replace(f, world_from_cam=np.linalg.inv(f.world_from_cam)) for f in frames]
    diagnosis = diagnose(pairs_of(inverted, count=3))
    frames[12] = moved(frames[12], 2)
    text = geometry_table([SceneReport("flat/3", diagnosis, checked(frames)), SceneReport("empty")])
    lines = text.splitlines()
    assert lines[0].split("  ")[0] == "scene" and "100 %" in lines[1] and lines[1].rstrip().endswith("1")
    assert lines[2].split() == ["empty", *["-"] * 6]
    assert lines[3].startswith("flat/3: the poses look inverted (cam_from_world): error ")
    assert lines[4].startswith("flat/3: frame 012 jumps: a step of ") and lines[4].endswith("its pose is wrong")
    assert hypothesis_table(diagnosis).splitlines()[1].startswith("pose inverted")
