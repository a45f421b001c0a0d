"""Which sets there are, by which names."""

import pytest

from eval.sequences import LONG, SETS, long_name, open_set, set_names


def test_every_name_can_be_asked_for(tmp_path):
    for protocol in SETS:
        for name in set_names(protocol):
            if name == "rooms":
                continue  # which are never missing
            with pytest.raises(FileNotFoundError):
                open_set(protocol, name, tmp_path)


def test_long_variants_are_named_by_step_and_length():
    assert {"bonn_s1_50", "bonn_s1_500", "kitti_s1_110"} <= set(set_names("video_depth"))
    assert {"tum_s1_1000", "scannet_s3_90", "scannet_s3_350"} <= set(set_names("relpose"))
    assert {"sevenscenes_s2_400", "nrgbd_s2_50"} <= set(set_names("mv_recon"))
    assert long_name("scannet", 90) == "scannet_s3_90"


@pytest.mark.parametrize(
    ("protocol", "name", "message"),
    [
        ("video_depth", "nyu", "video_depth has no set 'nyu'; choose from sintel, bonn, kitti, rooms, rgbd, bonn_s1_N"),
        ("relpose", "bonn", "choose from sintel, tum, scannet, kitti_odometry, rooms, rgbd, tum_s1_N, scannet_s3_N"),
        ("relpose", "bonn_s1_50", "relpose has no set"),
        ("relpose", "scannet_s1_50", "relpose has no set"),
        ("relpose", "tum_s1_", "relpose has no set"),
        ("relpose", "tum_s1_1", "tum_s1_N has 2 to 1000 frames"),
        ("relpose", "tum_s1_1001", r"there is no tum_s1_1001.*published: 50, 100, 150, 200, 300"),
        ("mv_recon", "sevenscenes_s2_501", "there is no sevenscenes_s2_501"),
        ("pose", "tum", "no protocol 'pose'; choose from monodepth, video_depth, relpose, mv_recon"),
    ],
)
def test_a_wrong_name_is_answered_with_what_there_is(tmp_path, protocol, name, message):
    with pytest.raises(ValueError, match=message):
        open_set(protocol, name, tmp_path)


def test_only_sets_with_long_variants_have_names_for_them():
    assert set(LONG) == {"bonn", "kitti", "tum", "scannet", "sevenscenes", "nrgbd"}
    with pytest.raises(ValueError, match="sintel has no variants by number of frames"):
        long_name("sintel", 50)
