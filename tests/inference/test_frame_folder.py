from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cut3r.geometry.cameras import pinhole
from cut3r.geometry.focal import estimate_focal
from cut3r.geometry.poses import pose_from_encoding
from cut3r.inference import frame_folder
from cut3r.inference.frame_folder import FrameFolder, read_frame_folder
from cut3r.inference.preprocess import PixelMap
from cut3r.inference.result import FrameResult
from cut3r.io.frames import Frame
from cut3r.io.images import read_image, write_image
from cut3r.model.prediction import Prediction
from tests.inference.results import lost_result

SIZE = (6, 8)
PIXEL_MAP = PixelMap(original_size=(14, 20), image_size=SIZE, scale=(0.5, 0.5), offset=(1.0, 0.5))


def make_result(number: int, *, time_s: float | None = 0.5, image: np.ndarray | None = None) -> FrameResult:
    generator = torch.Generator().manual_seed(number)
    image = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8) if image is None else image
    size = image.shape[:2]
    points_cam = torch.rand((1, *size, 3), generator=generator) + 0.5
    world_from_cam = torch.eye(4)[None].clone()
    world_from_cam[0, :3, 3] = torch.rand(3, generator=generator)
    prediction = Prediction(
        points_cam=points_cam,
        conf_cam=1 + torch.rand((1, *size), generator=generator),
        world_from_cam=world_from_cam,
    )
    frame = Frame(np.zeros((14, 20, 3), np.uint8), index=10 * number, time_s=time_s, name=f"küche_{number}.jpg")
    valid = torch.ones(size, dtype=torch.bool)
    return FrameResult(frame, number, image, prediction, pinhole(SIZE, 9.0), PIXEL_MAP, valid, chunk=2)


def golden_result(arrays: np.lib.npyio.NpzFile, number: int) -> FrameResult:
    tensors = {key: torch.from_numpy(arrays[f"in/{number}/{key}"]) for key in ("pts3d_in_self_view", "conf_self")}
    points_cam, (h, w) = tensors["pts3d_in_self_view"], tensors["conf_self"].shape[1:]
    encoding = torch.from_numpy(arrays[f"in/{number}/camera_pose"])
    prediction = Prediction(points_cam, tensors["conf_self"], world_from_cam=pose_from_encoding(encoding))
    principal_point = (float(w // 2), float(h // 2))
    focal = estimate_focal(points_cam, principal_point=principal_point)[0]
    image = np.rint((arrays[f"in/{number}/img"][0].transpose(1, 2, 0) + 1) / 2 * 255).astype(np.uint8)
    return FrameResult(
        Frame(image, number, None, f"{number}"),
        number,
        image,
        prediction,
        pinhole((h, w), focal, principal_point),
        PixelMap((h, w), (h, w), (1.0, 1.0), (0.0, 0.0)),
        valid=torch.zeros((h, w), dtype=torch.bool),  # must not matter
    )


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_parity_writes_the_files_of_the_original(golden, tmp_path):
    sink = FrameFolder(tmp_path, parity=True)
    with np.load(golden / "inference" / "demo_output.npz") as arrays:
        for number in range(3):
            sink.add(golden_result(arrays, number))
        expected = {key.removeprefix("file/"): arrays[key] for key in arrays.files if key.startswith("file/")}
    for number, frame in enumerate(read_frame_folder(tmp_path)):
        np.testing.assert_array_equal(frame.depth, expected[f"depth/{number:06d}.npy"])
        np.testing.assert_array_equal(frame.confidence, expected[f"conf/{number:06d}.npy"])
        np.testing.assert_array_equal(frame.color, expected[f"color/{number:06d}.png"])
        np.testing.assert_allclose(
            frame.world_from_cam, expected[f"camera/{number:06d}.npz/pose"], rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(frame.intrinsics, expected[f"camera/{number:06d}.npz/intrinsics"], rtol=1e-5)
    assert number == 2
    with np.load(tmp_path / "camera" / "000000.npz") as camera:
        assert {key: camera[key].dtype for key in camera.files} == {"pose": np.float32, "intrinsics": np.float32}


def test_the_files_have_the_published_names(tmp_path):
    FrameFolder(tmp_path).add(make_result(12))
    assert files_in(tmp_path) == {"depth/000012.npy", "conf/000012.npy", "color/000012.png", "camera/000012.npz"}


def test_colours_are_exact_but_63_levels_are_one_too_low_with_parity(tmp_path):
    levels = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    for parity, wrong in [(False, 0), (True, 63)]:
        folder = tmp_path / str(parity)
        FrameFolder(folder, parity=parity).add(make_result(0, image=levels))
        written = read_image(folder / "color" / "000000.png")[..., 0].astype(int)
        assert ((levels[..., 0] - written) == 1).sum() == wrong
        assert ((levels[..., 0] - written) == 0).sum() == 256 - wrong


def test_depth_is_zero_where_the_result_is_not_valid_and_kept_with_parity(tmp_path):
    result = make_result(0)
    result.valid[2, 3] = False
    for parity in (False, True):
        FrameFolder(tmp_path / str(parity), parity=parity).add(result)
    default, parity = (next(read_frame_folder(tmp_path / str(kind))) for kind in (False, True))
    np.testing.assert_array_equal(default.valid, result.valid.numpy())
    np.testing.assert_array_equal(default.depth[default.valid], result.depth.numpy()[default.valid])
    np.testing.assert_array_equal(parity.depth, result.depth.numpy())


@pytest.mark.parametrize("time_s", [0.5, None])
def test_a_saved_frame_knows_its_camera_and_where_it_comes_from(tmp_path, time_s):
    result = make_result(3, time_s=time_s)
    FrameFolder(tmp_path).add(result)
    (saved,) = read_frame_folder(tmp_path)
    np.testing.assert_array_equal(saved.world_from_cam, result.world_from_cam.numpy())
    np.testing.assert_array_equal(saved.intrinsics, result.intrinsics.numpy())
    np.testing.assert_array_equal(saved.intrinsics_original, result.intrinsics_original.numpy())
    np.testing.assert_array_equal(saved.confidence, result.confidence.numpy())
    np.testing.assert_array_equal(saved.color, result.image)
    assert (saved.original_size, saved.scale, saved.offset) == ((14, 20), (0.5, 0.5), (1.0, 0.5))
    assert (saved.number, saved.index, saved.chunk, saved.name) == (3, 30, 2, "küche_3.jpg")
    assert saved.time_s == time_s


def test_an_interrupted_frame_does_not_count_as_finished(tmp_path, monkeypatch):
    sink = FrameFolder(tmp_path)
    sink.add(make_result(0))

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(frame_folder, "write_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        sink.add(make_result(1))
    assert (tmp_path / "depth" / "000001.npy").exists()
    assert sink.finished() == 1
    assert [frame.number for frame in read_frame_folder(tmp_path)] == [0]


def test_a_new_run_removes_the_frames_of_an_earlier_one_and_nothing_else(tmp_path):
    sink = FrameFolder(tmp_path)
    for number in range(3):
        sink.add(make_result(number))
    mine = ["depth/notes.npy", "depth/000001.txt", "color/000001_marked.png", "scene.glb", "other/000000.npy"]
    mine += ["depth/000001.old.npy", "depth/0000001.npy", "depth/00001.npy", "conf/.000001.npy"]
    for name in mine:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    (tmp_path / "depth" / ".000002.0123456789ab.npy").write_text("killed while writing")
    sink.begin()
    assert files_in(tmp_path) == set(mine)


def test_after_a_million_frames_numbers_grow_a_digit_and_stay_in_order(tmp_path):
    sink = FrameFolder(tmp_path)
    for number in (1_000_000, 999_999):
        sink.add(make_result(number))
    assert [frame.number for frame in read_frame_folder(tmp_path)] == [999_999, 1_000_000]
    sink.begin(first=1_000_000)
    assert [frame.number for frame in read_frame_folder(tmp_path)] == [999_999]
    sink.begin()
    assert files_in(tmp_path) == set()


def test_a_folder_with_the_name_of_a_frame_file_is_no_file_of_ours(tmp_path):
    (tmp_path / "depth" / "000000.npy").mkdir(parents=True)
    FrameFolder(tmp_path).begin()
    assert (tmp_path / "depth" / "000000.npy").is_dir()


def test_the_size_of_a_frame_is_that_of_its_files(tmp_path):
    sink = FrameFolder(tmp_path)
    sink.add(make_result(0))
    assert sink.bytes_of(0) == sum((tmp_path / name).stat().st_size for name in files_in(tmp_path))


def test_resuming_keeps_the_finished_frames_and_clears_what_follows(tmp_path):
    sink = FrameFolder(tmp_path)
    for number in (0, 1, 2, 4):
        sink.add(make_result(number))
    (tmp_path / "camera" / "000002.npz").unlink()
    assert sink.finished() == 2
    sink.begin(first=2)
    assert [frame.number for frame in read_frame_folder(tmp_path)] == [0, 1]
    assert len(files_in(tmp_path)) == 2 * 4


def test_preparing_a_folder_that_does_not_exist_starts_at_zero(tmp_path):
    FrameFolder(tmp_path / "new").begin()
    assert FrameFolder(tmp_path / "new").finished() == 0


def test_a_folder_without_frames_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no camera"):
        next(read_frame_folder(tmp_path))


def test_no_file_holds_a_number_that_is_none(tmp_path):
    """A network that diverged gave trajectories of nan, which readers take or choke on."""
    lost = make_result(1)
    prediction = replace(
        lost.prediction,
        world_from_cam=torch.full((1, 4, 4), torch.nan),
        points_cam=torch.full_like(lost.prediction.points_cam, torch.nan),
        conf_cam=torch.full_like(lost.prediction.conf_cam, torch.inf),
    )
    folder = FrameFolder(tmp_path)
    folder.add(make_result(0))
    folder.add(replace(lost, prediction=prediction, valid=torch.zeros_like(lost.valid)))
    before, saved = read_frame_folder(tmp_path)
    assert (before.finite, saved.finite) == (True, False)
    assert np.array_equal(saved.world_from_cam, before.world_from_cam)
    assert not saved.valid.any()
    for value in (saved.depth, saved.confidence, saved.intrinsics, saved.intrinsics_original):
        assert np.isfinite(value).all()


def test_every_second_frame_can_be_written(tmp_path):
    folder = FrameFolder(tmp_path, every=2)
    for number in range(4):
        folder.add(make_result(number))
    assert [frame.number for frame in read_frame_folder(tmp_path)] == [0, 2]
    assert folder.finished() == 4
    assert folder.bytes_per_frame(4) == folder.bytes_per_frame(3) == folder.bytes_of(2) / 2


def test_a_written_frame_without_a_finite_pose_gets_that_of_the_written_one_before(tmp_path):
    folder = FrameFolder(tmp_path, every=2)
    for result in (make_result(0), make_result(1), lost_result(2)):
        folder.add(result)
    first, lost = read_frame_folder(tmp_path)
    assert (lost.world_from_cam == first.world_from_cam).all() and not lost.finite


def test_pictures_are_the_same_however_fast_they_are_written(tmp_path):
    result = make_result(0)
    for parity in (False, True):
        FrameFolder(tmp_path / str(parity), parity=parity).add(result)
    assert (read_image(tmp_path / "False" / "color" / "000000.png") == result.image).all()
    write_image(tmp_path / "usual.png", frame_folder._truncated(result.image))
    written = (tmp_path / "True" / "color" / "000000.png").read_bytes()
    assert written == (tmp_path / "usual.png").read_bytes(), "parity: byte for byte"


def test_a_step_between_frames_is_at_least_one(tmp_path):
    with pytest.raises(ValueError, match="1 to write every frame"):
        FrameFolder(tmp_path, every=0)
