"""`cut3r view`: the folder of a run in the page, finished or while it is written."""

import json
from dataclasses import replace

import pytest
import torch

from cut3r.geometry.registration import Similarity
from cut3r.inference.frame_folder import FrameFolder, read_frame_folder
from cut3r.run.command import main
from cut3r.run.console import NO_INPUT
from cut3r.run.following import follow
from cut3r.run.output_folder import Marker, RunState
from cut3r.viewer.app import Viewer
from tests.viewer.visitor import page_of

MARKER = Marker("1", {"vis_threshold": "4.5"}, "today")


def place(x: float, scale: float = 1.0) -> Similarity:
    rotation = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    return Similarity(rotation, torch.tensor([x, 0.0, 1.0]).double(), torch.tensor(scale).double())


def write_places(folder, places: dict[int, Similarity]) -> None:
    matrices = {str(chunk): where.matrix().tolist() for chunk, where in places.items()}
    (folder / "chunks.json").write_text(json.dumps({"world_from_chunk": matrices}))


@pytest.fixture
def out(tmp_path, small_room):
    """A run that goes on: three frames are there."""
    MARKER.write(tmp_path / "cut3r.json")
    for number in range(3):
        FrameFolder(tmp_path).add(small_room.result(number))
    return tmp_path


def never(*_: object) -> None:
    raise AssertionError("nothing moved, and nothing is awaited")


def test_a_finished_folder_gives_its_frames_once(out):
    replace(MARKER, state=RunState.finished, frames=3).write(out / "cut3r.json")
    views = list(follow(out, never, wait=never))
    assert [view.name for view in views] == ["room#000000", "room#000001", "room#000002"]
    for view, saved in zip(views, read_frame_folder(out), strict=True):
        torch.testing.assert_close(view.world_from_cam, torch.from_numpy(saved.world_from_cam))


def test_frames_that_come_are_followed_and_chunks_that_move_move(out, small_room):
    """Also when the place of a chunk changes between two of its frames: the page knows one place per chunk."""
    moved = []

    def write_more(_: float) -> None:
        match len(list((out / "camera").iterdir())):
            case 3:
                write_places(out, {0: Similarity.identity(), 1: place(1.0, scale=2.0)})
                FrameFolder(out).add(replace(small_room.result(3, chunk=1), world_from_chunk=place(1.0, scale=2.0)))
            case 4:
                write_places(out, {0: Similarity.identity(), 1: place(5.0)})
                FrameFolder(out).add(replace(small_room.result(4, chunk=1), world_from_chunk=place(5.0)))
            case 5:
                replace(MARKER, state=RunState.stopped, frames=5).write(out / "cut3r.json")

    views = list(follow(out, lambda chunk, where: moved.append((chunk, where)), wait=write_more))
    assert [view.number for view in views] == [0, 1, 2, 3, 4]
    ((chunk, where),) = moved
    assert chunk == 1
    torch.testing.assert_close(where.matrix(), place(5.0).matrix())
    for view, saved in zip(views, read_frame_folder(out), strict=True):
        now = view if view.chunk == 0 else view.placed(where)
        torch.testing.assert_close(now.world_from_cam, torch.from_numpy(saved.world_from_cam), atol=1e-5, rtol=0)
        torch.testing.assert_close(now.depth, torch.from_numpy(saved.depth), atol=1e-5, rtol=1e-5)


def test_a_folder_is_opened_in_the_page(out, wait_until, monkeypatch):
    replace(MARKER, state=RunState.finished, frames=3).write(out / "cut3r.json")
    seen = []

    def look(viewer: Viewer) -> None:
        page = page_of(viewer)
        wait_until(lambda: viewer.status.finished and viewer.status.frames == 3 and viewer.status.points > 0)
        seen.append((viewer.status.points, page.look().confidence))

    monkeypatch.setattr(Viewer, "wait", look)
    assert main(["view", str(out), "--port", "0"]) == 0
    assert main(["view", str(out), "--port", "0", "--vis-threshold", "1"]) == 0
    (few, usual), (many, low) = seen
    assert (usual, low) == (4.5, 1.0) and 0 < few < many


@pytest.mark.parametrize("named", ["", "nowhere"])
def test_a_folder_of_nothing_is_one_sentence(named, tmp_path, capsys):
    assert main(["view", str(tmp_path / named)]) == NO_INPUT
    said = capsys.readouterr().err
    assert said.startswith("cut3r view: ") and said.count("\n") == 1 and "Traceback" not in said
