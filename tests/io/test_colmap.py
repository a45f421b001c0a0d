"""COLMAP's models and dense maps; how cameras become ours is in test_known_files.py."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cut3r.io.colmap import MODELS, read_cameras, read_images
from cut3r.io.colmap_dense import read_dense_map, write_dense_map
from cut3r.io.colmap_points import read_points3d

POSE = (1.0, 0.0, 0.0, 0.0, 0.5, -1.0, 2.0)
IMAGES = {  # number: name, 2-D points (x, y, number of the 3-D point)
    3: ("a b/IMG 1.jpg", [(1e-05, 2.5, 7), (3.0, 4.0, -1)]),
    9: ("größe 2020 10 1.jpg", []),
    4: ("0.png", [(0.5, 0.5, 9007199254740991)]),
}
POINTS = [(7, (1.0, 2.0, -3.0), (255, 0, 9), 0.25, [(3, 0), (9, 5)]), (12, (0.0, 0.0, 1e-7), (1, 2, 3), 2.0, [])]


def write_text(folder):
    lines = []
    for number, (name, seen) in IMAGES.items():
        lines.append(f"{number} {' '.join(map(str, POSE))} 1 {name}")
        lines.append(" ".join(f"{x} {y} {point}" for x, y, point in seen))
    (folder / "images.txt").write_text("# IMAGE_ID\n# POINTS2D[]\n" + "\n".join(lines) + "\n", encoding="utf-8")
    rows = []
    for number, world, color, error, track in POINTS:
        flat = [number, *world, *color, error, *(value for pair in track for value in pair)]
        rows.append(" ".join(map(str, flat)) + "\n")
    (folder / "points3D.txt").write_text("# Points\n" + "".join(rows))
    return folder / "images.txt", folder / "points3D.txt"


def write_binary(folder):
    data = struct.pack("<Q", len(IMAGES))
    for number, (name, seen) in IMAGES.items():
        data += struct.pack("<I7dI", number, *POSE, 1) + name.encode() + b"\0" + struct.pack("<Q", len(seen))
        data += b"".join(struct.pack("<ddq", *point) for point in seen)
    (folder / "images.bin").write_bytes(data)
    data = struct.pack("<Q", len(POINTS))
    for number, world, color, error, track in POINTS:
        data += struct.pack("<Q3d3BdQ", number, *world, *color, error, len(track))
        data += b"".join(struct.pack("<ii", *pair) for pair in track)
    (folder / "points3D.bin").write_bytes(data)
    return folder / "images.bin", folder / "points3D.bin"


@pytest.mark.parametrize("write", [write_text, write_binary])
def test_images_bring_their_points(tmp_path, write):
    images = read_images(write(tmp_path)[0], points=True)
    assert [(image.identity, image.name) for image in images] == [(n, name) for n, (name, _) in IMAGES.items()]
    for image, (_, seen) in zip(images, IMAGES.values(), strict=True):
        table = np.array(seen, np.float64).reshape(-1, 3)
        np.testing.assert_allclose(image.pixels, table[:, :2] - 0.5, atol=1e-12)  # COLMAP's first centre is at 0.5
        assert image.points.tolist() == [point for _, _, point in seen]
        np.testing.assert_allclose(image.world_from_cam[:3, 3], (-0.5, 1.0, -2.0))


@pytest.mark.parametrize("write", [write_text, write_binary])
def test_points_are_left_out_unless_asked_for(tmp_path, write):
    images = read_images(write(tmp_path)[0])
    assert [image.name for image in images] == [name for name, _ in IMAGES.values()]
    assert all(image.pixels is None and image.points is None for image in images)


def test_lines_that_end_as_on_windows_or_without_the_last_one(tmp_path):
    path, _ = write_text(tmp_path)
    text = path.read_text(encoding="utf-8")
    for content in (text.replace("\n", "\r\n"), text.rstrip("\n"), text + "\n\n"):
        path.write_bytes(content.encode())
        images = read_images(path, points=True)
        assert [image.name for image in images] == [name for name, _ in IMAGES.values()]
        assert [len(image.points) for image in images] == [2, 0, 1]


def test_an_image_without_the_line_of_points_is_no_silent_loss(tmp_path):
    pose = " ".join(map(str, POSE))
    (tmp_path / "images.txt").write_text("".join(f"{k} {pose} 1 {k}.jpg\n" for k in range(4)))
    with pytest.raises(ValueError, match=r"images\.txt, line 2: 10 words; expected X Y POINT3D_ID"):
        read_images(tmp_path / "images.txt")


def test_the_largest_number_means_no_point(tmp_path):
    pose = " ".join(map(str, POSE))
    (tmp_path / "images.txt").write_text(f"1 {pose} 1 a.jpg\n1 2 18446744073709551615 3 4 5\n")
    assert read_images(tmp_path / "images.txt", points=True)[0].points.tolist() == [-1, 5]


@pytest.mark.parametrize("write", [write_text, write_binary])
def test_points_and_their_tracks(tmp_path, write):
    points = read_points3d(write(tmp_path)[1])
    assert points.ids.tolist() == [7, 12]
    assert points.world.tolist() == [[1, 2, -3], [0, 0, 1e-7]]
    assert points.colors.tolist() == [[255, 0, 9], [1, 2, 3]]
    assert points.errors.tolist() == [0.25, 2]
    assert (points.starts.tolist(), points.images.tolist(), points.indices.tolist()) == ([0, 2, 2], [3, 9], [0, 5])


@pytest.mark.parametrize(("name", "content"), [("points3D.txt", b"# none\n"), ("points3D.bin", bytes(8))])
def test_a_model_without_points(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    points = read_points3d(tmp_path / name)
    assert (points.world.shape, points.starts.tolist(), points.images.shape) == ((0, 3), [0], (0,))


def test_a_binary_file_that_is_cut_off_anywhere_is_refused_by_name(tmp_path):
    images, points = write_binary(tmp_path)
    for path, read in ((images, lambda path: read_images(path, points=True)), (points, read_points3d)):
        data = path.read_bytes()
        for length in range(8, len(data)):
            path.write_bytes(data[:length])
            with pytest.raises(ValueError, match=path.name):
                read(path)


@pytest.mark.parametrize(
    "line", ["7 1 2 3 255 0", "7 1 2 3 255 0 9 0.5 3", "7 1 2 x 255 0 9 0.5", "7 1 2 3 4 5 6 .5 a b"]
)
def test_a_damaged_line_of_points_is_named(tmp_path, line):
    (tmp_path / "points3D.txt").write_text(f"# Points\n{line}\n")
    with pytest.raises(ValueError, match=r"points3D\.txt, line 2: "):
        read_points3d(tmp_path / "points3D.txt")


@pytest.mark.parametrize("number", range(len(MODELS)))
def test_all_camera_models_are_the_same_in_text_and_binary(tmp_path, number):
    model, names = list(MODELS.items())[number]
    values = [1.5 + k for k in range(len(names.split()))]
    (tmp_path / "cameras.txt").write_text(f"# Cameras\n5 {model} 640 480 {' '.join(map(str, values))}\n")
    data = struct.pack(f"<QiiQQ{len(values)}d", 1, 5, number, 640, 480, *values)
    (tmp_path / "cameras.bin").write_bytes(data)
    assert read_cameras(tmp_path / "cameras.txt") == read_cameras(tmp_path / "cameras.bin")
    assert read_cameras(tmp_path / "cameras.bin")[5].parameters == dict(zip(names.split(), values, strict=True))


def test_agrees_with_colmap_itself(tmp_path):
    pycolmap = pytest.importorskip("pycolmap", reason="SKIPPED LOUDLY: no pycolmap (pip install cut3r[ba])")
    for name, info in pycolmap.CameraModelId.__members__.items():
        if name != "INVALID":
            assert list(MODELS)[info.value] == name
    options = pycolmap.SyntheticDatasetOptions()
    options.num_points3D = 30
    model = pycolmap.synthesize_dataset(options)
    model.write_binary(str(tmp_path))
    model.write_text(str(tmp_path))
    for suffix in (".bin", ".txt"):
        for image in read_images(tmp_path / f"images{suffix}", points=True):
            theirs = model.images[image.identity]
            assert image.name == theirs.name
            assert image.points.tolist() == [p.point3D_id if p.has_point3D() else -1 for p in theirs.points2D]
            np.testing.assert_allclose(image.pixels + 0.5, [p.xy for p in theirs.points2D])
            cam_from_world = theirs.cam_from_world().matrix()
            np.testing.assert_allclose(cam_from_world @ image.world_from_cam, np.eye(4)[:3], atol=1e-9)
        points = read_points3d(tmp_path / f"points3D{suffix}")
        assert set(points.ids.tolist()) == set(model.points3D)
        for k, number in enumerate(points.ids.tolist()):
            track = [(e.image_id, e.point2D_idx) for e in model.points3D[number].track.elements]
            part = slice(points.starts[k], points.starts[k + 1])
            assert list(zip(points.images[part].tolist(), points.indices[part].tolist(), strict=True)) == track
            np.testing.assert_allclose(points.world[k], model.points3D[number].xyz)


@given(
    seed=st.integers(0, 2**31),
    shape=st.sampled_from([(1, 1), (3, 5), (5, 3), (4, 6, 3)]),
)
def test_reading_undoes_writing_a_dense_map(tmp_path_factory, seed, shape):
    path = tmp_path_factory.mktemp("dense") / "a.png.geometric.bin"
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    write_dense_map(path, values)
    np.testing.assert_array_equal(read_dense_map(path), values)


def test_a_dense_map_is_column_major(tmp_path):
    path = tmp_path / "a.bin"
    maps = np.arange(24, dtype="<f4").reshape(4, 3, 2)  # W, H, C
    path.write_bytes(b"4&3&2&" + maps.tobytes(order="F"))
    np.testing.assert_array_equal(read_dense_map(path), maps.transpose(1, 0, 2))
    write_dense_map(path, maps[..., 0].T.copy())
    assert path.read_bytes() == b"4&3&1&" + maps[..., 0].tobytes(order="F")


def test_a_damaged_dense_map_is_refused_by_name(tmp_path):
    path = tmp_path / "a.geometric.bin"
    write_dense_map(path, np.ones((2, 3), np.float32))
    data = path.read_bytes()
    for content in [*(data[:length] for length in range(len(data))), data + b"\0", b"0&0&1&", b"P5 3 2"]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.geometric\.bin cannot be read"):
            read_dense_map(path)
    with pytest.raises(FileNotFoundError):
        read_dense_map(tmp_path / "absent.bin")
    with pytest.raises(ValueError, match="have no pixels"):
        write_dense_map(path, np.ones((0, 3), np.float32))
