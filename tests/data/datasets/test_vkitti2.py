import shutil

import numpy as np
import pytest

from cut3r.data.datasets.vkitti2 import LAYOUT, VirtualKitti2
from cut3r.data.layout import write_png16
from datasets_preprocess.runner import RawScene, Writer, run
from datasets_preprocess.verify import verify
from datasets_preprocess.vkitti2 import CONVERTER, convert, read_table
from tests.data.datasets.raw_fixtures import save_image, textured
from tests.data.datasets.recorded import unpack


def make_drive(raw, scene="Scene01", *, frames=6):
    """Section 7 of the dataset's file."""
    folder = raw / scene / "clone"
    extrinsics, intrinsics = ["frame cameraID r1,1 ... 1"], ["frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]"]
    for number in range(frames):
        for camera in (0, 1):
            save_image(folder / f"frames/rgb/Camera_{camera}/rgb_{number:05d}.jpg", textured(24, 64, number))
            codes = (1000 + np.arange(24 * 64, dtype=np.uint16)).reshape(24, 64)
            codes[:2] = 65535
            codes[2, 0] = 65500
            (folder / f"frames/depth/Camera_{camera}").mkdir(parents=True, exist_ok=True)
            write_png16(folder / f"frames/depth/Camera_{camera}/depth_{number:05d}.png", codes)
            x = -0.1 * (number + 1) - 0.533 * camera
            extrinsics.append(f"{number} {camera} 1 0 0 {x} 0 1 0 0 0 0 1 -2 0 0 0 1")
            intrinsics.append(f"{number} {camera} 40 40 31.5 11.5")
    (folder / "extrinsic.txt").write_text("\n".join(extrinsics) + "\n")
    (folder / "intrinsic.txt").write_text("\n".join(intrinsics) + "\n")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    root = tmp_path_factory.mktemp("vkitti2")
    for scene in ("Scene01", "Scene20"):
        make_drive(root / "raw", scene)
    assert run(CONVERTER, root / "raw", root / "out").complete
    return root / "out"


def test_cameras_are_the_inverse_of_the_extrinsics(out):
    for camera, x in ((0, 0.1), (1, 0.633)):
        with np.load(out / f"Scene01/clone/Camera_{camera}/00000_cam.npz") as archive:
            np.testing.assert_allclose(archive["camera_pose"][:3, 3], [x, 0, 2], rtol=1e-6)
            assert archive["camera_intrinsics"].tolist() == [[40, 0, 31.5], [0, 40, 11.5], [0, 0, 1]]


def test_the_last_scene_is_for_tests_and_all_are_used_by_default(out):
    options = {"num_views": 4, "sizes": [(16, 48)]}
    assert len(VirtualKitti2(out, **options)) == 12
    train, test = (VirtualKitti2(out, split=split, **options) for split in ("train", "test"))
    assert {scene.name.split("/")[0] for scene in train.scenes} == {"Scene01"}
    assert {scene.name.split("/")[0] for scene in test.scenes} == {"Scene20"}


def test_each_frame_is_verified_once(out):
    verification = verify("vkitti2", out)
    assert (verification.scenes, verification.frames, verification.problems) == (4, 24, [])


def test_depth_counts_centimetres_and_only_the_largest_number_is_sky(out):
    options = {"num_views": 4, "sizes": [(16, 48)]}
    for parity in (False, True):
        dataset = VirtualKitti2(out, parity=parity, **options)
        depth = dataset.read(dataset.scenes[0], 0).depth
        assert (depth[:2] == -1).all() and depth[2, 1] == pytest.approx(11.29)
        assert depth[2, 0] == (-1 if parity else 655), "quirk 1"


def test_a_frame_that_lacks_something_is_left_out_by_name(tmp_path):
    raw = unpack("vkitti2", "raw", tmp_path)
    drive = raw / "Scene20" / "clone"
    (drive / "frames/rgb/Camera_1/rgb_00000.jpg").write_bytes(b"no picture")
    lines = (drive / "intrinsic.txt").read_text().splitlines()
    (drive / "intrinsic.txt").write_text("\n".join(line for line in lines if not line.startswith("5 1 ")))
    writer = Writer(tmp_path / "out", LAYOUT)
    assert convert(raw, RawScene("Scene20/clone/Camera_1"), writer) == ["00001", "00002", "00004"]
    assert "depth_00003.png" in writer.left_out["00003"], "this frame has no depth in the recording"
    assert "rgb_00000.jpg" in writer.left_out["00000"]
    assert "intrinsic.txt has no row of frame 5, camera 1" in writer.left_out["00005"]


def test_the_archives_may_lie_side_by_side(tmp_path):
    make_drive(tmp_path / "drive", frames=3)
    for kind in ("rgb", "depth"):
        shutil.copytree(
            tmp_path / "drive/Scene01/clone/frames" / kind,
            tmp_path / f"raw/vkitti_2.0.3_{kind}/Scene01/clone/frames" / kind,
        )
    text = tmp_path / "raw/vkitti_2.0.3_textgt/Scene01/clone"
    text.mkdir(parents=True)
    for name in ("extrinsic.txt", "intrinsic.txt"):
        shutil.copy(tmp_path / "drive/Scene01/clone" / name, text)
    report = run(CONVERTER, tmp_path / "raw", tmp_path / "out")
    assert report.complete and report.converted == 2


def test_a_damaged_table_names_the_line(tmp_path):
    path = tmp_path / "extrinsic.txt"
    path.write_text("heading\n0 0 1 2 3 4\n1 0 1 2 x 4\n")
    with pytest.raises(ValueError, match=r"extrinsic\.txt, line 3"):
        read_table(path, 0, 4, "frame cameraID and four numbers")
