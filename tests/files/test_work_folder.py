import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cut3r.files.work_folder import clean_up, put_in_place, work_folder

SOURCE = Path(__file__).parents[2] / "src"
KILLED = """
import os, sys, time
from pathlib import Path
from cut3r.files import work_folder as module
place = Path(sys.argv[1])
with module.work_folder(place) as work:
    (work / "new").write_text("whole")
    if sys.argv[2] == "between":
        module.shutil.rmtree = lambda *a, **k: print("here", flush=True) or time.sleep(60)
        rename = Path.rename
        def halfway(path, target):
            done = rename(path, target)
            print("here", flush=True)
            time.sleep(60)
        Path.rename = halfway
        module.put_in_place(work, place)
    print("here", flush=True)
    time.sleep(60)
"""


def start(place, when):
    words = [sys.executable, "-c", KILLED, str(place), when]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(SOURCE)})
    assert child.stdout is not None and child.stdout.readline().strip() == b"here"
    return child


def kill(child):
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()


def test_nothing_is_left_however_it_ends(tmp_path):
    with work_folder(tmp_path / "deep" / "scene") as work:
        (work / "file").write_text("text")
        put_in_place(work, tmp_path / "deep" / "scene")
    with pytest.raises(KeyError), work_folder(tmp_path / "deep" / "scene"):
        raise KeyError
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["scene"]
    assert (tmp_path / "deep/scene/file").read_text() == "text"


def test_the_folder_of_a_process_that_lives_stays_and_of_one_that_was_killed_goes(tmp_path):
    living, dead = start(tmp_path / "scene", "work"), start(tmp_path / "scene", "work")
    kill(dead)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2
    with work_folder(tmp_path / "other"):
        assert len([path for path in tmp_path.glob(".scene.*") if path.is_dir()]) == 1
    kill(living)
    clean_up(tmp_path)
    assert not list(tmp_path.iterdir())


def test_one_that_was_killed_while_it_was_put_in_place_is_put_there(tmp_path):
    (tmp_path / "scene").mkdir()
    (tmp_path / "scene" / "old").write_text("before")
    kill(start(tmp_path / "scene", "between"))
    assert not (tmp_path / "scene").exists()
    clean_up(tmp_path)
    assert [path.name for path in (tmp_path / "scene").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["scene"]


def test_what_others_have_left_is_not_touched(tmp_path):
    (tmp_path / ".editor.lock").write_text("")
    (tmp_path / ".scene.abc.lock").write_text("../elsewhere")
    (tmp_path / ".scene.abc").mkdir()
    clean_up(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
