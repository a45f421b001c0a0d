"""Long streams through the real session, with an oracle that drifts: what joints and loops make of it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

import cut3r
from cut3r.alignment.stream_loops import StreamLoops
from cut3r.inference.chunk_file import CHUNKS, read_places, write_chunks
from cut3r.inference.frame_folder import FrameFolder, read_frame_folder
from cut3r.inference.joints import JointKind
from cut3r.inference.quality import Trust
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.session import Session
from cut3r.inference.watch import COLLAPSED
from cut3r.metrics.motion import ate_sim3
from tests.alignment.walked import BY_COUNT, SIZE, Drift, DriftingOracle, PlantedWalk, Way, believed, run

FRAMES, LAP = 160, 80
DRIFT = Drift(walk=0.002, pose=0.004)
RESETS = replace(BY_COUNT, every=20, overlap=5, joint=JointKind.sim3)
FALSE = [(15, 55)]  # opposite sides of the room


@cache
def walk():
    return PlantedWalk(FRAMES, laps=FRAMES / LAP, size=SIZE)


@cache
def outcome(name: str, *, drifts: bool = True):
    ways = {
        "chained": Way(replace(RESETS, overlap=1, joint=JointKind.published)),
        "joined": Way(RESETS),
        "looped": Way(RESETS, loops=True),
        "keyframes": Way(RESETS, "motion", loops=True),
    }
    return run(DriftingOracle(walk(), DRIFT if drifts else Drift.none()), ways[name])


def test_joints_hold_together_what_chaining_of_poses_lets_drift():
    assert outcome("joined").ate_m < outcome("chained").ate_m / 1.5


def test_loops_take_away_what_is_left():
    looped = outcome("looped")
    assert looped.kept >= 3 and looped.ate_m < outcome("joined").ate_m / 2


@pytest.mark.parametrize("name", ["looped", "keyframes"])
def test_a_run_that_does_not_drift_stays_as_it_is(name):
    assert outcome(name, drifts=False).ate_m < 0.01  # metres; points have noise of 2 %


def test_places_that_only_look_alike_are_refused():
    oracle = DriftingOracle(walk(), Drift(walk=0.001), alike=FALSE)
    misled = run(oracle, Way(RESETS, loops=True))
    offered = [loop for loop in misled.session.loops if abs(loop.first - 15) < 13 and abs(loop.second - 55) < 13]
    assert offered and all(loop.refused for loop in offered), "the false loop was not even offered, or was believed"
    assert not believed(misled.session, FALSE) and misled.kept >= 1
    assert misled.ate_m < 0.06


def session_of(oracle) -> Session:
    return Session(oracle, resets=RESETS, loops=StreamLoops())


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A whole run with its sinks, and another that was saved, loaded and gone on with at frame 100."""
    oracle, folder = DriftingOracle(walk(), DRIFT), tmp_path_factory.mktemp("run")
    session, later = session_of(oracle), session_of(oracle)
    scene, files = Reconstruction(voxel_size=0.1), FrameFolder(folder, every=20)
    results, moved = [], {}
    for number, frame in enumerate(oracle.frames()):
        result = session.push(frame)
        results.append(result)
        moved |= result.moves
        scene.add(result)
        files.add(result)
        if number == 99:
            session.save(folder / "it.session")
            later.load(folder / "it.session")
        elif number > 99:
            later.push(frame)
    settled = session.settle()
    for chunk, place in settled.items():
        scene.move(chunk, place)
    later.settle()
    write_chunks(folder, session.snapshot().course, session.frames_seen)
    return session, later, scene, folder, moved, cut3r.align(results, loops="off", moves=settled)


def test_what_was_stored_of_a_chunk_moves_with_it(watched):
    session, _, scene, _, moved, _ = watched
    assert len(moved) >= 3
    for chunk, place in scene.chunks.items():
        torch.testing.assert_close(place.matrix(), session.places[chunk].matrix(), atol=1e-9, rtol=0)
    poses = torch.from_numpy(scene.cameras.world_from_cam).double()
    assert float(ate_sim3(poses, walk().world_from_cam)) < outcome("joined").ate_m / 2


def test_an_alignment_of_kept_results_begins_where_chunks_stand_in_the_end(watched):
    *_, scene, _, _, aligned = watched
    ours, theirs = (torch.from_numpy(each.cameras.world_from_cam).double() for each in (aligned, scene))
    assert float(ate_sim3(ours, theirs)) < 0.005


def test_files_of_frames_are_read_where_their_chunks_stand_in_the_end(watched):
    _, _, scene, folder, *_ = watched
    for saved in read_frame_folder(folder):
        np.testing.assert_allclose(saved.world_from_cam, scene.cameras.world_from_cam[saved.number], atol=1e-5)
        scale = float(scene.chunks[saved.chunk].scale)
        unit = float(np.median(saved.depth[saved.valid] / walk().depth[saved.number].numpy()[saved.valid]))
        drift = unit / scale  # what the oracle's own metre is in this chunk
        assert 0.7 < drift < 1.4
    assert read_places(folder).keys() == scene.chunks.keys()


def test_a_saved_run_goes_on_with_its_places_and_loops(watched):
    session, later, *_ = watched
    assert [loop.report() for loop in later.loops] == [loop.report() for loop in session.loops]
    for chunk, place in session.places.items():
        torch.testing.assert_close(later.places[chunk].matrix(), place.matrix(), atol=1e-9, rtol=0)


def test_a_damaged_file_of_places_is_refused(tmp_path):
    assert read_places(tmp_path) == {}
    (tmp_path / CHUNKS).write_text('{"world_from_chunk": {"0": [[1]]}}')
    with pytest.raises(ValueError, match=r"chunks\.json"):
        read_places(tmp_path)


def test_a_run_that_loses_its_way_says_so_and_starts_again():
    lost = range(60, 66)
    oracle = DriftingOracle(walk(), Drift(walk=0.001, scale=0.0), broken=lost)
    session = Session(oracle, resets=replace(RESETS, every=None, evidence=True))
    results = list(session.stream(list(oracle.frames(90)), lookahead=0))
    assert [joint.reason for joint in session.joints] == [COLLAPSED]
    assert session.joints[0].frames == 5 and not session.joints[0].doubt
    assert [r.number for r in results if r.quality.trust is not Trust.good][:4] == [60, 61, 62, 63]
    assert results[80].quality.trust is Trust.good and results[80].chunk == 1
    poses = torch.stack([result.world_from_cam for result in results]).double()
    good = [number for number in range(90) if number not in lost]
    assert float(ate_sim3(poses[good], walk().world_from_cam[good])) < 0.1


def test_loops_need_chunks():
    with pytest.raises(ValueError, match="give resets"):
        Session(DriftingOracle(walk()), loops=StreamLoops())
