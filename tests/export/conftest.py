import pytest

from cut3r.export.of_run import export_run
from cut3r.run.finished import FinishedRun
from tests.export.room import make_room


@pytest.fixture(scope="session")
def room(tmp_path_factory):
    return make_room(tmp_path_factory.mktemp("room"))


@pytest.fixture(scope="session")
def scene(room):
    """The folder of the exported room; tests leave it as it is."""
    folder = room.folder.parent / "scene"
    export_run(FinishedRun(room.folder), folder, source=str(room.photos))
    return folder


@pytest.fixture(scope="session")
def portrait(tmp_path_factory):
    """A room whose photos stand upright, exported."""
    room = make_room(tmp_path_factory.mktemp("portrait"), frames=4, portrait=True)
    folder = room.folder.parent / "scene"
    export_run(FinishedRun(room.folder), folder, source=str(room.photos))
    return room, folder
