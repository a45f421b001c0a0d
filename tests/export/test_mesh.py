from dataclasses import replace

import numpy as np
import pytest
import torch

from cut3r.data.agreement import same_depth
from cut3r.export.exported import ExportedFrame
from cut3r.export.mesh import MeshConfig, fuse
from cut3r.export.paint import painted
from cut3r.geometry.cameras import unproject
from cut3r.geometry.poses import transform
from cut3r.inference.view import EDGES
from cut3r.io.images import read_image
from cut3r.run.finished import FinishedRun
from cut3r.run.known import Known

pytest.importorskip("open3d", reason="no mesh without Open3D")
RISE = np.array([[1.0, 0, 0, 0], [0, 0, 1, 5], [0, -1, 0, 0], [0, 0, 0, 1]])  # y down becomes z up, and 5 m aside


@pytest.fixture(scope="module")
def frames(room):
    views = [view for view, _ in FinishedRun(room.folder).views(Known())]
    return [ExportedFrame.of_view(view, view.name, 1.5, EDGES) for view in views]


@pytest.fixture(scope="module")
def surface(frames):
    return fuse(frames, RISE)


def of_all(frames):
    clouds = [transform(f.world_from_cam, unproject(f.depth.double(), f.intrinsics)[f.depth > 0]) for f in frames]
    return torch.cat(clouds).numpy()


def distances(to, points):
    from scipy.spatial import cKDTree

    return cKDTree(to).query(points)[0]


def test_it_lies_where_the_frames_say(frames, surface):
    points = of_all(frames) @ RISE[:3, :3].T + RISE[:3, 3]
    off = distances(points, surface.mesh.vertices)
    assert np.median(off) < 0.5 * surface.voxel_m
    assert np.quantile(off, 0.99) < 2 * surface.voxel_m
    back = distances(surface.mesh.vertices, points)
    assert np.quantile(back, 0.9) < 2 * surface.voxel_m  # and it leaves out little of what they saw


def test_it_is_one_layer_that_looks_at_the_cameras(surface):
    corners = surface.mesh.vertices[surface.mesh.triangles].astype(float)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    camera = RISE[:3, 3]  # the first one, of the run's world
    towards = ((camera - corners.mean(axis=1)) * normals).sum(axis=1)
    assert (towards > 0).mean() > 0.95
    assert surface.dropped < 0.05


def test_what_one_frame_alone_sees_is_not_in_it(frames, surface):
    phantom = frames[3].depth.clone()
    phantom[20:50, 30:80] *= 0.5  # a thing in the air
    changed = [*frames[:3], replace(frames[3], depth=phantom), *frames[4:]]
    haunted = fuse(changed, RISE)
    assert haunted.dropped > surface.dropped + 0.01
    off = distances(of_all(frames) @ RISE[:3, :3].T + RISE[:3, 3], haunted.mesh.vertices)
    assert np.quantile(off, 0.99) < 3 * surface.voxel_m
    believed = fuse(changed, RISE, MeshConfig(views=1))  # and with every frame believed, it is
    off = distances(of_all(frames) @ RISE[:3, :3].T + RISE[:3, 3], believed.mesh.vertices)
    assert np.quantile(off, 0.99) > 5 * surface.voxel_m


def test_voxels_grow_until_they_fit(frames, monkeypatch, caplog):
    from cut3r.export import mesh

    monkeypatch.setattr(mesh, "MOST_BLOCKS", 60)
    assert fuse(frames, RISE).voxel_m > 0.05
    assert "too much memory" in caplog.text


def test_frames_that_do_not_agree_leave_nothing(frames):
    apart = [replace(frame, depth=frame.depth * 3.0**number) for number, frame in enumerate(frames)]
    with pytest.raises(ValueError, match="no surface is left of 8 frames"):
        fuse(apart, RISE)


def test_colours_are_those_of_the_original_pictures(room, frames):
    """Twice as fine as the network's picture, so a surface of small voxels shows more of them."""
    pictures = [read_image(room.photos / name) for name in room.names]
    plain = fuse(frames, RISE, MeshConfig(voxel_m=0.02))
    fine = painted(plain.mesh, frames, iter(pictures), RISE, voxel_m=0.02, tolerance=0.02)
    errors = []
    for mesh in (plain.mesh, fine):
        off = []
        for frame, picture in zip(frames, pictures, strict=True):
            world = (mesh.vertices - RISE[:3, 3]) @ RISE[:3, :3]
            places, _, seen = same_depth(torch.from_numpy(world), frame.seen, 0.02)
            at = frame.pixel_map.pixels_to_original(places[seen]).round().long()
            inside = (at >= 0).all(dim=-1) & (at[:, 0] < picture.shape[1]) & (at[:, 1] < picture.shape[0])
            true = picture[at[inside, 1], at[inside, 0]].astype(float)
            off.append(np.abs(mesh.colors[seen.numpy()][inside.numpy()] - true).mean())
        errors.append(np.mean(off))
    assert errors[1] < 0.75 * errors[0]


def test_a_picture_that_is_missing_leaves_the_colours_as_they_are(frames):
    mesh = fuse(frames, RISE, MeshConfig(voxel_m=0.06)).mesh
    none = painted(mesh, frames, [None] * len(frames), RISE, voxel_m=0.06, tolerance=0.02)
    np.testing.assert_array_equal(none.colors, mesh.colors)
    red = [np.full((*frame.size, 3), (200, 10, 20), np.uint8) for frame in frames]
    seen = fuse(frames, RISE, MeshConfig(voxel_m=0.06), pictures=iter(red)).mesh.colors
    assert ((seen == (200, 10, 20)).all(axis=1)).mean() > 0.9


def test_it_is_not_shifted_by_half_a_pixel(frames):
    """A pixel of the depth is where its centre is: on slanted walls half a pixel is a bias."""
    surface = fuse(frames, RISE, MeshConfig(voxel_m=0.03))
    world = torch.from_numpy((surface.mesh.vertices - RISE[:3, 3]) @ RISE[:3, :3]).double()
    signed = []
    for frame in frames:
        _, there, seen = same_depth(world, frame.seen, 0.02)
        cam = transform(torch.linalg.inv(frame.world_from_cam), world[seen])
        own = transform(torch.linalg.inv(frame.world_from_cam), there[seen])
        signed.append((cam[:, 2] - own[:, 2]) / own[:, 2])
    both = torch.cat(signed)
    assert float(both.abs().mean()) < 2e-3


@pytest.mark.parametrize("settings", [{"voxel_m": 0.0}, {"views": 0}, {"tolerance": 1.0}])
def test_settings_that_ask_for_nothing_are_refused(settings):
    with pytest.raises(ValueError, match=r"voxels|asks for nothing"):
        MeshConfig(**settings)
