"""`Reconstruction.save("room/")`: frames that are kept beside it, or read and drawn again."""

import gc
import tempfile

import numpy as np
import pytest
from PIL import Image

import cut3r
from cut3r.geometry.registration import Similarity
from cut3r.io.colmap import read_images
from cut3r.io.colmap_points import read_points3d
from cut3r.io.depth import read_depth
from cut3r.io.ply import read_ply
from cut3r.io.transforms_json import read_transforms
from tests.export.wall import DISTANCE, NORMAL, Wall, make_photos

PARTS = {"images", "sparse", "depth", "transforms.json", "pointcloud.ply", "README.txt"}


@pytest.fixture
def wall(tmp_path):
    make_photos(tmp_path / "photos", (101, 180))
    return Wall(tmp_path / "photos")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def reconstructed(wall, **options):
    scene = cut3r.Reconstruction(**options)
    for result in wall.results():
        scene.add(result)
    return scene


def of_wall(folder, wall, tolerance):
    """The folder's points lie on the wall, and its cameras stand where they stood."""
    content = read_transforms(folder / "transforms.json")
    first = content.cameras[0].world_from_cam @ np.linalg.inv(wall.pose(0))
    for number, camera in enumerate(content.cameras):
        np.testing.assert_allclose(camera.world_from_cam, first @ wall.pose(number), atol=1e-5)
        np.testing.assert_allclose(camera.lens.intrinsics, wall.intrinsics, atol=1e-3)
    points = (read_ply(folder / "pointcloud.ply").points - first[:3, 3]) @ first[:3, :3]
    off = np.abs(points @ NORMAL - DISTANCE) / np.linalg.norm(NORMAL)
    assert off.max() < tolerance and len(points) > 300
    assert {path.name for path in folder.iterdir()} == PARTS


def test_kept_frames_become_a_folder_whenever_it_is_asked_for(wall, temporary, tmp_path):
    scene = reconstructed(wall, frames=cut3r.KeptFrames())
    scene.save(f"{tmp_path}/room/")
    scene.save(tmp_path / "again")
    scene.save(tmp_path / "again")  # what was exported is replaced
    for name in ("room", "again"):
        of_wall(tmp_path / name, wall, 1e-3)
        for path in (tmp_path / "photos").iterdir():
            assert (tmp_path / name / "images" / path.name).read_bytes() == path.read_bytes()
    scene.save(tmp_path / "scene.ply")
    assert len(list(temporary.iterdir())) == 2, "a folder, and the lock beside it"
    del scene
    gc.collect()
    assert not list(temporary.iterdir())


def test_frames_of_a_video_are_kept_as_pictures_or_read_again(wall, temporary, tmp_path):
    wall.video = True
    reconstructed(wall, frames=cut3r.KeptFrames(cut3r.ExportConfig(pictures="png"))).save(tmp_path / "kept")
    again = cut3r.KeptFrames(
        cut3r.ExportConfig(pictures="png"), source=lambda: [result.frame for result in wall.results()]
    )
    scene = reconstructed(wall, frames=again)
    assert not list(temporary.rglob("pictures"))
    scene.save(tmp_path / "read")
    for folder in (tmp_path / "kept", tmp_path / "read"):
        shown = [np.asarray(Image.open(path)) for path in sorted((folder / "images").iterdir())]
        for picture, result in zip(shown, wall.results(), strict=True):
            np.testing.assert_array_equal(picture, result.frame.rgb)
    again.close()


def test_the_source_is_enough_after_the_stream(wall, tmp_path):
    scene = reconstructed(wall, voxel_size=0.02)
    scene.save(f"{tmp_path}/room/", frames=cut3r.FramesAgain(wall.folder))
    of_wall(tmp_path / "room", wall, 0.01)
    images = read_images(tmp_path / "room/sparse/0/images.bin", points=True)
    assert len(images) == 4 and all(len(image.pixels) > 100 for image in images)
    points = read_points3d(tmp_path / "room/sparse/0/points3D.bin")
    assert np.diff(points.starts).min() >= 3 and points.errors.mean() < 1
    depth = read_depth(tmp_path / "room/depth/IMG_1.png")
    true = wall.depth(1, wall.intrinsics, (101, 180))
    known = depth > 0
    assert known.mean() > 0.5 and np.median(np.abs(depth - true)[known] / true[known]) < 0.01
    for path in wall.folder.iterdir():
        assert (tmp_path / "room/images" / path.name).read_bytes() == path.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "room"]


def test_views_without_pictures_need_a_source(wall, tmp_path):
    scene = cut3r.Reconstruction(frames=cut3r.KeptFrames())
    for result in wall.results():
        scene.add(result.view)
    with pytest.raises(ValueError, match=r"original picture of IMG_0\.png was not kept; .*source"):
        scene.save(tmp_path / "room")
    assert not (tmp_path / "room").exists()
    scene = cut3r.Reconstruction(frames=cut3r.KeptFrames(source=wall.folder))
    for result in wall.results():
        scene.add(result.view)
    scene.save(tmp_path / "room")
    of_wall(tmp_path / "room", wall, 1e-3)


def test_chunks_that_are_moved_take_their_frames_along(wall, tmp_path):
    scene = cut3r.Reconstruction(frames=cut3r.KeptFrames())
    wrong = Similarity.identity().matrix()
    wrong[0, 3] = 7.0
    for result in wall.results():
        chunk = 1 + result.number // 2
        place = Similarity.identity() if chunk == 1 else Similarity.from_matrix(wrong)
        scene.add(type(result)(**{**vars_of(result), "chunk": chunk, "world_from_chunk": place}))
    scene.move(2, Similarity.identity())
    scene.save(tmp_path / "room")
    of_wall(tmp_path / "room", wall, 1e-3)


def vars_of(result):
    return {name: getattr(result, name) for name in result.__dataclass_fields__}


def test_what_has_no_frames_says_how_to_have_them(wall, tmp_path):
    for name in ("scene/", "scene", "scene.ply/"):
        with pytest.raises(ValueError, match=r"frames=cut3r\.KeptFrames\(\).*frames=cut3r\.FramesAgain\(source\)"):
            reconstructed(wall).save(f"{tmp_path}/{name}")
    with pytest.raises(ValueError, match="there are no frames yet"):
        cut3r.Reconstruction(frames=cut3r.KeptFrames()).save(tmp_path / "scene")
    with pytest.raises(ValueError, match="none of the 4 frames"):
        reconstructed(wall).save(tmp_path / "scene", frames=cut3r.FramesAgain(lambda: iter(())))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    with pytest.raises(ValueError, match="files of others"):
        reconstructed(wall, frames=cut3r.KeptFrames()).save(tmp_path / "mine")
    assert (tmp_path / "mine" / "diary.txt").read_text() == "dear diary"


def test_a_folder_of_ones_own_for_what_is_kept(wall, tmp_path):
    frames = cut3r.KeptFrames(folder=tmp_path / "disk")
    reconstructed(wall, frames=frames)
    assert list((tmp_path / "disk").rglob("camera/000003.npz"))
    frames.close()
    assert not list((tmp_path / "disk").iterdir())


def test_an_aligned_scene_is_saved_from_its_source(wall, tmp_path):
    scene = cut3r.align(
        list(wall.results()), scene=cut3r.Reconstruction(frames=cut3r.KeptFrames(source=wall.folder)), loops="off"
    )
    scene.save(tmp_path / "room")
    assert {path.name for path in (tmp_path / "room").iterdir()} == PARTS
    for path in wall.folder.iterdir():
        assert (tmp_path / "room/images" / path.name).read_bytes() == path.read_bytes()
