"""The calling convention of benchmarks of multi-view models."""

import pytest
import torch

from cut3r.geometry.poses import matrix_from_quaternion
from cut3r.inference.multi_view import NORMS, MultiViewModel
from cut3r.inference.session import Session


def pictures(count, batch=2, size=(48, 64)):
    """RGB in [0, 1], whole bytes."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (batch, 3, *size), generator=generator) / 255 for _ in range(count)]


def view_of(picture, norm="identity"):
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in NORMS[norm])
    return {"img": (picture - mean) / deviation, "data_norm_type": [norm] * len(picture)}


def test_parts_of_a_view_fit_together(tiny_model):
    views = [view_of(picture) for picture in pictures(3)]
    results = MultiViewModel(tiny_model)(views)
    assert len(results) == 3
    for each in results:
        assert each["pts3d"].shape == each["pts3d_cam"].shape == each["ray_directions"].shape == (2, 48, 64, 3)
        assert each["depth_along_ray"].shape == (2, 48, 64, 1) and each["conf"].shape == (2, 48, 64)
        assert each["cam_trans"].shape == (2, 3) and each["cam_quats"].shape == (2, 4)
        torch.testing.assert_close(each["ray_directions"].norm(dim=-1), torch.ones(2, 48, 64))
        torch.testing.assert_close(each["ray_directions"] * each["depth_along_ray"], each["pts3d_cam"])
        rotation = matrix_from_quaternion(each["cam_quats"][:, [3, 0, 1, 2]])
        moved = each["pts3d_cam"].flatten(1, 2) @ rotation.mT + each["cam_trans"][:, None]
        torch.testing.assert_close(moved.view(2, 48, 64, 3), each["pts3d"], atol=1e-4, rtol=1e-4)
        assert (each["conf"] >= 1).all()


def test_each_sample_is_what_a_session_says_of_its_stream(tiny_linear):
    given = pictures(3)
    results = MultiViewModel(tiny_linear)([view_of(picture) for picture in given])
    for sample in range(2):
        session = Session(tiny_linear)
        for picture, each in zip(given, results, strict=True):
            rgb = (picture[sample] * 255).round().byte().permute(1, 2, 0).numpy()
            result = session.push(rgb)
            assert result.image.shape == (48, 64, 3)
            torch.testing.assert_close(each["pts3d_cam"][sample], result.points_cam, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(each["cam_trans"][sample], result.chunk_from_cam[:3, 3], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("norm", ["dust3r", "dinov2"])
def test_every_normalisation_means_the_same_picture(tiny_linear, norm):
    model, given = MultiViewModel(tiny_linear), pictures(2)
    plain, other = (model([view_of(picture, each) for picture in given]) for each in ("identity", norm))
    torch.testing.assert_close(plain[1]["pts3d"], other[1]["pts3d"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("view", "part"),
    [
        ({}, "view 0 has no picture"),
        ({"img": torch.zeros(1, 3, 48, 64), "data_norm_type": ["clip"]}, "expected one of identity, dust3r, dinov2"),
        ({"img": torch.zeros(1, 3, 42, 56)}, "has 56x42 pixels; expected sides that are multiples of 16"),
    ],
)
def test_what_cannot_be_used_is_refused(tiny_linear, view, part):
    with pytest.raises(ValueError, match=part):
        MultiViewModel(tiny_linear)([view])


def test_it_is_loaded_by_name_like_any_network():
    assert MultiViewModel("tiny").model.config.patch_size == 16
