"""What a run writes while the network is ahead of it: complete frames, in bounded memory."""

import threading
import weakref

import numpy as np
import pytest

from cut3r.files.disk import DiskFullError
from cut3r.inference.frame_folder import FrameFolder
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.session import Session
from cut3r.inference.sink import WAITING
from cut3r.io.frames import Frame
from cut3r.run.output_folder import OutputFolder, RunState
from cut3r.run.resume import ResumePoint
from cut3r.run.writer import RunWriter


@pytest.fixture
def session(tiny_linear):
    return Session(tiny_linear)


@pytest.fixture
def output(tmp_path):
    with OutputFolder(tmp_path / "out") as folder:
        yield folder


def make_writer(session: Session, output: OutputFolder, frames: FrameFolder | None) -> RunWriter:
    resume = ResumePoint(output.resume_path, {})
    scene = Reconstruction(confidence=0.0, voxel_size=0.5)
    return RunWriter(session, scene, output, frames, resume=resume, version="1", settings={})


def push(session: Session):
    number = session.frames_seen
    return session.push(Frame(np.full((48, 64, 3), number, np.uint8), number, None, f"{number}.png"))


def add_frames(writer: RunWriter, session: Session, count: int) -> None:
    for _ in range(count):
        writer.add(push(session))


class SlowFolder(FrameFolder):
    """Writes a frame when it is told to."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.turn = threading.Semaphore(0)

    def add(self, result) -> None:
        self.turn.acquire(timeout=10)
        super().add(result)


class FullFolder(FrameFolder):
    """Finds the disk full at frame 2."""

    def add(self, result) -> None:
        if result.number == 2:
            raise DiskFullError(self.folder)
        super().add(result)


def test_however_slow_the_disk_few_results_are_held(session, output):
    folder = SlowFolder(output.folder)
    writer = make_writer(session, output, folder)
    alive: list[weakref.ref] = []
    held = []
    for number in range(20):
        if number == WAITING + 1:  # now `add` waits
            threading.Timer(0.2, folder.turn.release, [20]).start()
        result = push(session)
        alive.append(weakref.ref(result))
        writer.add(result)
        del result
        held.append(sum(seen() is not None for seen in alive))
    writer.drain()
    assert max(held) == held[WAITING] == WAITING + 1, "as many as may wait, and the one that is written"
    assert sum(seen() is not None for seen in alive) == 0
    assert writer.finish(RunState.finished) == []
    assert (writer.count, folder.finished()) == (20, 20)


def test_after_an_error_only_frames_with_files_count_and_the_session_goes_back_to_them(session, output):
    writer = make_writer(session, output, FullFolder(output.folder))
    with pytest.raises(DiskFullError):
        add_frames(writer, session, 50)
    assert session.frames_seen > 2
    assert writer.finish(RunState.stopped) == []
    assert (writer.count, session.frames_seen, len(writer.scene.cameras)) == (2, 2, 2)
    resumed = Session(session.model)
    scene = ResumePoint(output.resume_path, {}).load(resumed)
    assert scene is not None
    assert (resumed.frames_seen, len(scene.cameras), FrameFolder(output.folder).finished()) == (2, 2, 2)


def test_an_error_at_the_last_frame_is_not_lost(session, output):
    writer = make_writer(session, output, FullFolder(output.folder))
    add_frames(writer, session, 3)
    with pytest.raises(DiskFullError):
        writer.drain()
    assert writer.finish(RunState.stopped) == []
    assert "2 finished frames are kept" in writer.explain_full_disk(DiskFullError(output.folder), 3)


def test_without_files_of_frames_the_scene_and_the_resume_point_are_there(session, output):
    writer = make_writer(session, output, None)
    add_frames(writer, session, 3)
    assert writer.finish(RunState.finished) == []
    assert writer.count == len(writer.scene.cameras) == 3
    assert output.can_be_resumed
    assert not (output.folder / "depth").exists()
    assert "MB" not in writer.explain_full_disk(DiskFullError(output.folder), 4)
