"""What a file may hold: nothing but a sound reconstruction comes out of it, everything else is one sentence."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from cut3r.inference.reconstruction import Reconstruction
from tests.inference.results import filled

Arrays = dict[str, np.ndarray]


def grid() -> Arrays:
    return filled(2, voxel_size=0.05, max_points=60).state_arrays()


def sample() -> Arrays:
    return filled(2, voxel_size=None, max_points=60).state_arrays()


def refuse(arrays: Arrays, complaint: str) -> None:
    with pytest.raises(ValueError, match=r"the saved reconstruction .*so make it again") as caught:
        Reconstruction.from_state_arrays(arrays)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(grid()))
def test_every_array_is_needed_in_its_type_and_length(name):
    if name != "cameras/given":
        refuse(without(name), f"has no '{name}'")
    if name != "settings":
        refuse(grid() | {name: grid()[name][:-1]}, "")
        refuse(grid() | {name: np.zeros(grid()[name].shape, np.complex64)}, "")
    refuse(grid() | {name: np.array(b"text")}, "")


def without(name: str) -> Arrays:
    return {key: array for key, array in grid().items() if key != name}


def test_in_files_of_before_cameras_could_be_given_none_is():
    arrays = without("cameras/given")
    assert not Reconstruction.from_state_arrays(arrays).state_arrays()["cameras/given"].any()


def spoiled(name: str, value: float, arrays: Arrays) -> Arrays:
    array = arrays[name].copy()
    array.reshape(-1)[1] = value
    return arrays | {name: array}


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("points/point", np.nan, "points that are not finite"),
        ("points/point", 1e6, "one per voxel"),
        ("points/confidence", np.inf, "confidences that are not finite"),
        ("points/frame", -1, "a negative number"),
        ("cameras/chunk_from_cam", np.nan, "cameras that are not finite"),
        ("cameras/intrinsics_original", np.inf, "cameras that are not finite"),
        ("cameras/time_s", np.inf, "infinite time stamps"),
        ("cameras/image_size", 0, "images without a size"),
        ("cameras/chunk", -5, "a negative number"),
    ],
)
def test_numbers_that_no_reconstruction_holds_are_refused(name, value, complaint):
    refuse(spoiled(name, value, grid()), complaint)


def test_two_points_of_a_voxel_are_refused():
    arrays = grid()
    arrays["points/point"] = arrays["points/point"][::-1].copy()
    refuse(arrays, "in the order of their voxels")


def with_setting(name: str, value: object, make: Callable[[], Arrays] = grid) -> Arrays:
    arrays = make()
    return arrays | {"settings": np.array(json.dumps(json.loads(str(arrays["settings"])) | {name: value}))}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("confidence", "1.5"),
        ("confidence", float("nan")),
        ("stride", 0),
        ("stride", 1.5),
        ("stride", True),
        ("edges", 0),
        ("edges", "wide"),
        ("max_points", 10**30),
        ("max_points", 9),
        ("max_points", None),
        ("voxel_size", float("inf")),
        ("voxel_size", [0.1]),
        ("voxel_size", 0),
        ("voxel_size", 10**400),
        ("voxel_size", 1e-308),
        ("out_of_range", -1),
        ("colour", "red"),
    ],
)
def test_settings_of_another_kind_are_refused(name, value):
    refuse(with_setting(name, value), "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seen", 3),
        ("seen", 10**40),
        ("generator", {}),
        ("generator", None),
        (
            "generator",
            {"bit_generator": "PCG64", "state": {"state": -1, "inc": 2**200}, "has_uint32": 0, "uinteger": 0},
        ),
    ],
)
def test_a_sample_that_cannot_go_on_is_refused(name, value):
    refuse(with_setting(name, value, sample), "")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000])
def test_settings_that_are_no_settings_are_refused(text):
    refuse(grid() | {"settings": np.array(text)}, "settings")


@pytest.mark.parametrize("edges", [None, 0.1])
def test_the_settings_come_back(edges):
    scene = Reconstruction(confidence=2.5, stride=3, edges=edges)
    restored = Reconstruction.from_state_arrays(scene.state_arrays())
    assert (restored.confidence, restored.stride, restored.edges) == (2.5, 3, edges)
