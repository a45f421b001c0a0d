"""What a stream has said is aligned without a network: drift falls by loops, shared frames and known cameras."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.planted_walk import PlantedWalk
from cut3r.alignment.align_config import AlignConfig, Loops, Method
from cut3r.alignment.of_stream import Eye, align_stream
from cut3r.alignment.streamed import Streamed, collect
from cut3r.geometry.lie import rotation_from_vector
from cut3r.geometry.poses import invert
from cut3r.geometry.registration import Similarity
from cut3r.inference.preprocess import PixelMap
from cut3r.inference.view import View
from cut3r.io.frame import Frame
from cut3r.metrics.motion import ate_sim3

N = 120
QUIET = AlignConfig(Method.graph, loops=Loops.off)


@pytest.fixture(scope="module")
def walk() -> PlantedWalk:
    return PlantedWalk(N, laps=2.0, size=(12, 16))


def view(walk: PlantedWalk, number: int, cameras, **more) -> View:
    """Frame `number` as a stream with these cameras says it."""
    points = walk.alone.points_self[number].float()
    conf = walk.alone.conf_self[number].float()
    size = walk.size
    valid = points[..., 2] > 0
    return View(
        f"clip#{number}",
        number,
        np.full((*size, 3), number % 256, np.uint8),
        walk.intrinsics.float(),
        PixelMap((2 * size[0], 2 * size[1]), size, (0.5, 0.5), (0.0, 0.0)),
        cameras[number].float(),
        points,
        conf.clamp_min(1),
        valid,
        index=number,
        **more,
    )


def drifting(walk: PlantedWalk, **more) -> list[View]:
    cameras = walk.chained()
    return [view(walk, number, cameras, **more) for number in range(N)]


def streamed(views, known=None) -> Streamed:
    return collect((each, None if known is None else known(each)) for each in views)


def ate(cameras, walk: PlantedWalk) -> float:
    return float(ate_sim3(cameras.double(), walk.world_from_cam))


def test_without_anything_else_a_stream_stays_as_it_is(walk, caplog):
    views = drifting(walk)
    with caplog.at_level("INFO"):
        aligned = align_stream(streamed(views), AlignConfig(Method.graph))
    given = torch.stack([each.world_from_cam for each in views])
    torch.testing.assert_close(aligned.world_from_cam, invert(given[:1]) @ given, atol=5e-3, rtol=0)
    assert "no network is given, so frames that see the same place again are not looked for" in caplog.text
    assert "loops" not in aligned.report


def test_known_depth_gives_the_scale_and_takes_the_place_of_what_the_stream_said(walk):
    cameras = walk.world_from_cam[:30].clone()
    true = invert(cameras[:1]) @ cameras
    cameras[:, :3, 3] *= 0.5  # a stream whose metres are half as long
    views, depths = [], {}
    for number in range(30):
        said = view(walk, number, cameras)
        depths[number] = said.points[..., 2].clone()
        views.append(
            replace(said, points=said.points * 0.5 * (1.1 if number % 3 == 0 else 1.0))
        )  # and depth that wobbles

    def known(each):
        full = depths[each.number].numpy().repeat(2, axis=0).repeat(2, axis=1)
        rgb = np.zeros((*full.shape, 3), np.uint8)
        return Frame(rgb, each.index, None, each.name, depth=full)

    aligned = align_stream(streamed(views, known), QUIET)
    torch.testing.assert_close(aligned.world_from_cam[:, :3, 3].double(), true[:, :3, 3].double(), atol=0.05, rtol=0.02)
    for number in range(30):
        seen = depths[number] > 0
        torch.testing.assert_close(aligned.points(number)[..., 2][seen], depths[number][seen], rtol=1e-5, atol=0)
    without = align_stream(streamed(views), QUIET)
    assert float(without.world_from_cam[:, :3, 3].norm(dim=-1).max()) < 0.6 * float(true[:, :3, 3].norm(dim=-1).max())


def test_loops_make_drift_fall(walk):
    views = drifting(walk)
    before = ate(torch.stack([each.world_from_cam for each in views]), walk)
    aligned = align_stream(streamed(views), AlignConfig(Method.graph), eye=Eye(walk.look, walk.tokens()))
    assert len(aligned.report["loops"]["kept"]) > 1
    assert before > 0.1
    assert ate(aligned.world_from_cam, walk) < 0.6 * before


def test_false_loops_are_refused(walk):
    false = [(3, 40), (20, 101), (50, 88)]
    lying = PlantedWalk(N, laps=2.0, size=(12, 16), false=false)
    tokens = lying.tokens()
    for first, second in false:
        tokens[second] = tokens[first] = 3 * torch.randn(96, generator=torch.Generator().manual_seed(first))
    views = drifting(lying)
    aligned = align_stream(streamed(views), AlignConfig(Method.graph), eye=Eye(lying.look, tokens))
    kept = {(loop["first"], loop["second"]) for loop in aligned.report["loops"]["kept"]}
    offered = kept | {(loop["first"], loop["second"]) for loop in aligned.report["loops"]["refused"]}
    assert set(false) <= offered and not set(false) & kept
    before = ate(torch.stack([each.world_from_cam for each in views]), lying)
    assert ate(aligned.world_from_cam, lying) < 0.6 * before


def test_some_known_poses_make_drift_fall_and_stay(walk):
    def known(each: View) -> Frame:
        pose = walk.world_from_cam[each.index].numpy() if each.index % 30 == 0 else None
        return Frame(np.zeros((24, 32, 3), np.uint8), each.index, None, each.name, world_from_cam=pose)

    views = drifting(walk)
    aligned = align_stream(streamed(views, known), QUIET)
    assert ate(aligned.world_from_cam, walk) < 0.4 * ate(torch.stack([v.world_from_cam for v in views]), walk)
    torch.testing.assert_close(aligned.world_from_cam[60].double(), walk.world_from_cam[60], atol=1e-6, rtol=0)


def chunks_with_common_frames(walk: PlantedWalk) -> list[View]:
    """Chunks of 20 frames of which the last 5 come again; each has a world and metres of its own."""
    views = []
    for chunk, start in enumerate(range(0, N - 5, 15)):
        unit = 1 + 0.1 * chunk
        anchor = invert(walk.world_from_cam[start])
        cameras = [anchor @ pose for pose in walk.world_from_cam]
        for pose in cameras:
            pose[:3, 3] *= unit
        for number in range(start, min(start + 20, N)):
            each = view(walk, number, cameras, chunk=chunk)
            views.append(replace(each, points=unit * each.points))
    return views


def place_of(turn: float, shift: float, scale: float) -> Similarity:
    """A chunk's place: turned about y, shifted along x."""
    rotation = rotation_from_vector(torch.tensor([0.0, turn, 0.0]).double())
    return Similarity(rotation, torch.tensor([shift, 0.0, 0.0]).double(), torch.tensor(scale).double())


def test_chunks_are_put_together_by_the_frames_they_share(walk):
    aligned = align_stream(streamed(chunks_with_common_frames(walk)), QUIET)
    assert len(aligned.taken) == N and aligned.report["groups"] == [list(range(N))]
    assert ate(aligned.world_from_cam, walk) < 0.02
    scale = aligned.scales / aligned.scales[0]
    assert float(scale[-1]) == pytest.approx(1 / 1.7, rel=0.05)  # the last chunk's metres are longer


def test_chunks_without_common_frames_are_named(walk, caplog):
    views = [replace(each, chunk=each.index // 60) for each in drifting(walk)]
    aligned = align_stream(streamed(views), QUIET)
    assert "frames 0 to 59; frames 60 to 119" in caplog.text and len(aligned.report["groups"]) == 2


def test_a_chunk_that_was_put_in_its_place_goes_on(walk):
    place = Similarity.identity()
    views = [
        replace(each, chunk=each.index // 60, world_from_chunk=place if each.index >= 60 else None)
        for each in drifting(walk)
    ]
    assert len(align_stream(streamed(views), QUIET).report["groups"]) == 1


@pytest.mark.parametrize("said_by", ["a later result", "the end of the stream"])
def test_chunks_that_moved_later_stand_where_they_were_moved(walk, said_by):
    """Results at hand say where chunks stood when they came; cameras and sizes of points must follow later words."""
    right = {0: place_of(0.0, 0.0, 1.0), 1: place_of(0.4, 1.5, 0.8), 2: place_of(-0.3, 0.5, 1.25)}
    views = []
    for number in range(60):
        chunk = number // 20
        true = view(walk, number, right[chunk].inverse().place(walk.world_from_cam))
        points = true.points / float(right[chunk].scale)
        views.append(replace(true, points=points, chunk=chunk, world_from_chunk=place_of(0.1, 0.3 * chunk, 1.1)))
    if later := said_by == "a later result":
        views[-1] = replace(views[-1], moves={0: right[0], 1: right[1]}, world_from_chunk=right[2])
    aligned = align_stream(collect(((each, None) for each in views), None if later else right), QUIET)
    assert float(ate_sim3(aligned.world_from_cam.double(), walk.world_from_cam[:60])) < 0.01
    torch.testing.assert_close(aligned.scales, torch.ones(60), atol=0.02, rtol=0)
    depth = torch.stack([aligned.points(number)[..., 2] for number in range(60)])
    assert float((depth / walk.depth[:60]).median()) == pytest.approx(1, abs=0.01)


def test_known_intrinsics_reproduce_themselves(walk):
    known = np.array([[30.0, 0, 15.5], [0, 30, 11.5], [0, 0, 1]])

    def frame(each: View) -> Frame:
        return Frame(np.zeros((24, 32, 3), np.uint8), each.index, None, each.name, intrinsics=known)

    for method in (Method.graph, Method.full):
        aligned = align_stream(streamed(drifting(walk)[:8], frame), AlignConfig(method, loops=Loops.off, sweeps=2))
        for result in aligned.results():
            torch.testing.assert_close(result.intrinsics_original, torch.from_numpy(known).float())


def test_full_refines_a_stream(walk):
    aligned = align_stream(streamed(drifting(walk)[:20]), AlignConfig(Method.full, loops=Loops.off, sweeps=3))
    assert aligned.report["loss_after"] <= aligned.report["loss_before"] and aligned.depth is not None


def test_lost_frames_are_left_out_and_named(walk, caplog):
    views = drifting(walk)[:10]
    views[4] = replace(views[4], chunk_from_cam=torch.full((4, 4), torch.nan))
    aligned = align_stream(streamed(views), QUIET)
    assert aligned.report["left_out"] == ["clip#4"] and len(aligned.taken) == 9 and "clip#4" in caplog.text


def test_frames_of_two_shapes_are_refused(walk):
    small = View.from_depth("small", 0, np.zeros((6, 8, 3), np.uint8), torch.ones(6, 8), torch.eye(3), torch.eye(4))
    with pytest.raises(ValueError, match=r"small has 8x6 pixels .* one shape"):
        streamed([drifting(walk)[0], small])


def test_nothing_to_align_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        align_stream(Streamed(), QUIET)
