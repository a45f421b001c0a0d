"""Flags whose value cannot be meant, and those that change who sees what and which frames count."""

import logging
import os

import pytest
from PIL import Image

import demo
from cut3r.inference.frame_folder import read_frame_folder
from tests.roof.demo_runs import run_demo


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("flag", ["--output_dir", "--seq_path", "--model_path"])
def test_an_empty_value_is_refused(flag, photos, tmp_path, monkeypatch, capsys):
    """As in --output_dir "$UNSET", which would write into the current folder."""
    monkeypatch.chdir(tmp_path)
    assert run_demo("--seq_path", photos, flag, "") == demo.WRONG_ARGUMENTS
    assert f"{flag} is empty" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["photos"]


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("device", ["foo", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(device, photos, tmp_path, capsys):
    flags = ["--seq_path", photos, "--output_dir", tmp_path / "out", "--device", device]
    assert demo.main([*map(str, flags), "--no-viewer"]) == demo.WRONG_ARGUMENTS
    assert f"device '{device}'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_picture_of_a_shape_that_cannot_be_used_is_skipped_when_asked(weights, photos, tmp_path):
    Image.new("RGB", (640, 4)).save(photos / "photo_2b.png")
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path / "out"]
    assert run_demo(*flags) == demo.WRONG_ARGUMENTS
    assert len(list(read_frame_folder(tmp_path / "out"))) == 3
    assert run_demo(*flags, "--resume", "--skip-bad") == 0
    assert len(list(read_frame_folder(tmp_path / "out"))) == 6


def test_the_page_is_only_for_this_machine_unless_asked_and_viser_is_quiet(
    weights, photos, tmp_path, monkeypatch, capsys
):
    from cut3r.viewer.app import Viewer

    hosts = []
    start = Viewer.__init__

    def remember(self: Viewer, *args: object, host: str, **options: object) -> None:
        hosts.append(host)
        start(self, *args, host=host, **options)

    monkeypatch.setattr(Viewer, "__init__", remember)
    monkeypatch.setattr(Viewer, "wait", lambda _: None)
    flags = ["--model_path", weights, "--seq_path", photos, "--output_dir", tmp_path, "--port", 0, "--end", 1]
    for extra in ([], ["--host", "0.0.0.0"]):
        assert demo.main([*map(str, flags), *extra, "--device", "cpu"]) == 0
    assert hosts == ["127.0.0.1", "0.0.0.0"]
    assert not logging.getLogger("websockets.server").isEnabledFor(logging.INFO)
    assert capsys.readouterr().out == ""
