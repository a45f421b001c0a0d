from pathlib import Path

import numpy as np
import pytest

import demo
from cut3r.io.images import write_image
from cut3r.run.batch import BatchRun, check_sources, flags_of, named, run_batch
from cut3r.run.output_check import MARKER, RESUME_FILES
from cut3r.run.output_folder import Marker, RunState


def parsed(*words):
    parser = demo.make_parser()
    return parser, demo.parse_args([str(word) for word in words], extend=demo.add_of_stream)


class TestNames:
    def test_are_those_of_the_files(self, tmp_path):
        folder = tmp_path / "photos.d"
        folder.mkdir()
        sources = ["videos/kitchen.mp4", f"{folder}/", "rtsp://camera/hall.sdp", "my film (2).mov"]
        assert list(named(sources)) == ["kitchen", "photos.d", "hall", "my_film__2_"]

    def test_take_the_folder_where_two_are_called_so(self):
        assert named(["a/x.mp4", "b/x.mp4", "y.mp4"]) == {"a_x": "a/x.mp4", "b_x": "b/x.mp4", "y": "y.mp4"}

    def test_that_are_still_the_same_are_refused(self):
        with pytest.raises(ValueError, match="folder a_x"):
            named(["a/x.mp4", "a/x.mov"])


class TestSources:
    def test_that_are_missing_are_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"no .*gone\.mp4; nothing was begun"):
            check_sources([str(tmp_path), str(tmp_path / "gone.mp4"), "rtsp://elsewhere"])

    def test_that_are_pictures_of_one_scene_are_no_batch(self, tmp_path):
        paths = [tmp_path / f"{number}.png" for number in range(3)]
        for path in paths:
            write_image(path, np.zeros((4, 4, 3), np.uint8))
        with pytest.raises(ValueError, match="quote the pattern"):
            check_sources([str(path) for path in paths])


class TestFlags:
    def test_go_to_each_run_as_they_were(self):
        words = [
            "a.mp4",
            "b.mp4",
            "--workers",
            "2",
            "--size",
            "64",
            "--reset_every",
            "20",
            "--keep-edges",
            "--output_dir",
            "o",
        ]
        parser, args = parsed(*words)
        again = demo.parse_args([*flags_of(parser, args), "c.mp4"], extend=demo.add_of_stream)
        assert (again.size, again.reset_every, again.keep_edges, again.seq_path) == (64, "20", True, "c.mp4")
        assert (again.workers, again.output_dir) == (1, "demo_tmp")

    def test_all_of_them_survive(self):
        parser, args = parsed("a.mp4", "b.mp4")
        changed = {}
        for action in parser._actions:
            if action.option_strings and action.dest not in ("help", "workers", "dask", "save", "export"):
                value = True if action.const is True else (action.choices or ["7"])[-1]
                changed[action.dest] = value if action.type is None else action.type(value)
        vars(args).update(changed)
        again = vars(demo.parse_args([*flags_of(parser, args), "c.mp4"], extend=demo.add_of_stream))
        own = {"seq_path", "output_dir", "no_viewer", "resume", "host", "port"}
        assert {name: again[name] for name in changed.keys() - own} == {
            n: v for n, v in changed.items() if n not in own
        }

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["a.mp4", "--workers", "2"], "several sources"),
            (["a.mp4", "b.mp4", "--workers", "0"], "expected 1 or more"),
            (["a.mp4", "b.mp4", "--seq_path", "c.mp4"], "two sources"),
        ],
    )
    def test_that_make_no_sense_are_refused(self, words, message, capsys):
        with pytest.raises(SystemExit):
            parsed(*words)
        assert message in capsys.readouterr().err

    def test_one_place_for_all_files_is_refused(self, tmp_path):
        parser, args = parsed(tmp_path, tmp_path.parent, "--save", "out/scene.ply")
        with pytest.raises(ValueError, match="without a folder"):
            run_batch(args, parser)


@pytest.mark.parametrize(
    ("state", "overwrite", "due"),
    [
        (None, False, True),
        (RunState.stopped, False, True),
        (RunState.finished, False, False),
        (RunState.finished, True, True),
    ],
)
def test_what_is_finished_is_left_alone(tmp_path, state, overwrite, due):
    if state is not None:
        Marker("1", {}, "now", state, 3).write(tmp_path / MARKER)
    assert BatchRun((), tmp_path, tmp_path / "log", Path.cwd(), overwrite).is_due() is due


@pytest.mark.parametrize(
    ("state", "left", "overwrite", "flag"),
    [
        (RunState.stopped, "resume.npz", False, ["--resume"]),
        (RunState.stopped, "resume.previous.npz", False, ["--resume"]),
        (RunState.stopped, None, False, []),  # --moving, --panorama and live sources refuse --resume
        (RunState.stopped, "resume.npz", True, []),
        (RunState.finished, "resume.npz", False, []),
    ],
)
def test_only_what_left_a_state_is_resumed(tmp_path, state, left, overwrite, flag):
    Marker("1", {}, "now", state, 3).write(tmp_path / MARKER)
    if left is not None:
        assert left in RESUME_FILES
        (tmp_path / left).touch()
    assert BatchRun((), tmp_path, tmp_path / "log", Path.cwd(), overwrite).resume_flag() == flag
