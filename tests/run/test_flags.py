import pytest

from cut3r.run.flags import parse_args


@pytest.mark.parametrize("words", [["--max-frames", "3"], ["--max_frames", "3"], ["--max_frames=3"], ["--max-fr", "3"]])
def test_flags_are_taken_with_dashes_and_underscores(words):
    assert parse_args(words).max_frames == 3


@pytest.mark.parametrize("dash", ["-", "_"])
def test_so_are_those_that_are_declared_with_underscores(dash):
    model_path, output_dir, no_viewer = (name.replace("_", dash) for name in ("model_path", "output_dir", "no_viewer"))
    args = parse_args([f"--{model_path}", "a_b-c", f"--{output_dir}=d_e", f"--{no_viewer}"])
    assert (args.model_path, args.output_dir, args.no_viewer) == ("a_b-c", "d_e", True)


def test_values_keep_their_dashes_and_underscores():
    args = parse_args(["--save", "max-frames_a.ply", "--seq_path=--max_frames"])
    assert (args.save, args.seq_path) == (["max-frames_a.ply"], "--max_frames")


def test_the_source_needs_no_flag():
    assert parse_args(["kitchen.mp4", "--end", "3"]).seq_path == "kitchen.mp4"
    assert parse_args(["--no_viewer", "kitchen.mp4"]).seq_path == "kitchen.mp4"
    assert parse_args([]).seq_path is None
    assert parse_args([""]).seq_path == ""


def test_two_sources_are_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        parse_args(["kitchen.mp4", "--seq_path", "photos"])
    assert "there are two sources, kitchen.mp4 and --seq_path photos; name one" in capsys.readouterr().err
