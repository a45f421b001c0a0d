import hashlib
import http.server
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cut3r.weights import zoo

NAME = "512-dpt"
FILE = zoo.OFFICIAL[NAME].file


class Server:
    """A stand-in for the file host, with ranges; `fail_after` bytes it drops the connection, once."""

    def __init__(self):
        self.body, self.status, self.fail_after = b"", 200, None
        self.requests: list[tuple[str, str | None]] = []  # path and Range header
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append((self.path, self.headers.get("Range")))
                server.answer(self)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/uc?id="

    def answer(self, handler):
        span = handler.headers.get("Range")
        start = int(span.removeprefix("bytes=").rstrip("-")) if span else 0
        handler.send_response(206 if span and self.status == 200 else self.status)
        handler.send_header("Content-Length", str(len(self.body) - start))
        handler.send_header("ETag", '"1"')
        if span:
            handler.send_header("Content-Range", f"bytes {start}-{len(self.body) - 1}/{len(self.body)}")
        handler.end_headers()
        stop, self.fail_after = self.fail_after, None
        handler.wfile.write(self.body[start:stop])


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("CUT3R_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(zoo, "RETRIES", 0)
    return tmp_path / "home"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("checkpoint") / "weights.pth"
    torch.save({"model": {"a": torch.arange(500_000.0)}}, path)  # several of gdown's blocks
    return path.read_bytes()


def test_a_download_arrives_with_its_digest_beside_it(server, checkpoint, home):
    server.body = checkpoint
    path = zoo.download(NAME, base_url=server.url)
    assert path == home / FILE
    assert path.read_bytes() == checkpoint
    assert (home / f"{FILE}.sha256").read_text() == f"{hashlib.sha256(checkpoint).hexdigest()}  {FILE}\n"
    assert server.requests == [(f"/uc?id={zoo.OFFICIAL[NAME].drive_id}", None)]
    assert {entry.name for entry in home.iterdir()} <= {FILE, f"{FILE}.sha256", f".{FILE}.lock"}


def test_the_licence_is_told_before_the_download(server, home, caplog):
    server.status = 404
    with pytest.raises(OSError, match="404"):
        zoo.download(NAME, base_url=server.url)
    assert "CC BY-NC-SA 4.0 (non-commercial use only" in caplog.text


def test_progress_is_shown(server, checkpoint, capfd):
    server.body = checkpoint
    zoo.download(NAME, base_url=server.url)
    assert "100%" in capfd.readouterr().err


def test_an_interrupted_download_is_continued(server, checkpoint, home):
    server.body, server.fail_after = checkpoint, 1_200_000
    with pytest.raises(OSError, match="try again to continue it"):
        zoo.download(NAME, base_url=server.url)
    assert not (home / FILE).exists()
    assert zoo.download(NAME, base_url=server.url).read_bytes() == checkpoint
    offset = int(server.requests[-1][1].removeprefix("bytes=").rstrip("-"))
    assert 0 < offset <= 1_200_000


def test_a_short_interruption_is_bridged(server, checkpoint, monkeypatch):
    monkeypatch.setattr(zoo, "RETRIES", 1)
    server.body, server.fail_after = checkpoint, 1_200_000
    assert zoo.download(NAME, base_url=server.url).read_bytes() == checkpoint


def test_a_failed_download_tells_the_way_by_hand_in_one_sentence(server, home):
    server.status = 500
    with pytest.raises(OSError, match="failed") as error:
        zoo.download(NAME, base_url=server.url)
    message = str(error.value)
    assert f"https://drive.google.com/file/d/{zoo.OFFICIAL[NAME].drive_id}/view" in message
    assert str(home / FILE) in message
    assert "\n" not in message


def test_a_page_in_place_of_the_file_is_detected_and_removed(server, home):
    server.body = b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>"
    with pytest.raises(ValueError, match=r"was deleted: .*a web page.*Google Drive.*Instead, open"):
        zoo.download(NAME, base_url=server.url)
    assert not [entry for entry in home.iterdir() if not entry.name.startswith(".")]


def test_a_file_of_another_kind_is_refused(server):
    server.body = b"\x80\x02}."
    with pytest.raises(ValueError, match=f"not {FILE}, and was deleted"):
        zoo.download(NAME, base_url=server.url)


def test_a_known_digest_is_enforced(server, checkpoint, monkeypatch):
    server.body = checkpoint
    monkeypatch.setitem(zoo.OFFICIAL, NAME, replace(zoo.OFFICIAL[NAME], sha256="0" * 64))
    with pytest.raises(ValueError, match="expected is 0000"):
        zoo.download(NAME, base_url=server.url)


def test_a_file_that_is_there_is_checked_and_not_downloaded_again(server, checkpoint, home):
    server.body = checkpoint
    path = zoo.download(NAME, base_url=server.url)
    assert zoo.download(NAME, base_url=server.url) == path
    assert len(server.requests) == 1
    path.write_bytes(checkpoint[:-1] + b"?")
    with pytest.raises(ValueError, match="it has changed since its download; delete it"):
        zoo.download(NAME, base_url=server.url)


def test_a_file_put_there_by_hand_gets_its_digest_recorded(checkpoint, home):
    home.mkdir()
    (home / FILE).write_bytes(checkpoint)
    assert zoo.check(NAME) == hashlib.sha256(checkpoint).hexdigest()
    assert (home / f"{FILE}.sha256").is_file()


def test_of_several_that_want_the_file_at_once_one_downloads(server, checkpoint, home):
    server.body = checkpoint
    threads = [threading.Thread(target=zoo.obtain, args=(NAME,), kwargs={"base_url": server.url}) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.requests) == 1
    assert (home / FILE).read_bytes() == checkpoint


def test_obtain_does_not_read_what_is_there(checkpoint, home):
    home.mkdir()
    (home / FILE).write_bytes(checkpoint)
    assert zoo.obtain(NAME) == home / FILE
    assert not (home / f"{FILE}.sha256").exists()


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    assert zoo.cache_folder() == tmp_path / "home"
    monkeypatch.delenv("CUT3R_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert zoo.cache_folder() == tmp_path / "xdg" / "cut3r"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert zoo.cache_folder() == tmp_path / ".cache" / "cut3r"


def test_finding_tells_how_to_get_what_is_missing(home):
    with pytest.raises(FileNotFoundError, match=r"cut3r models download 512-dpt"):
        zoo.find(NAME)
    with pytest.raises(ValueError, match="the zoo has no '1024-dpt'; it has 512-dpt, 224-linear, tiny"):
        zoo.find("1024-dpt")


@pytest.mark.parametrize("get", [zoo.find, zoo.obtain, zoo.download])
def test_the_bundled_network_is_found_or_its_absence_explained(get, monkeypatch, tmp_path):
    monkeypatch.setitem(zoo.BUNDLED, "tiny", tmp_path / "tiny.safetensors")
    with pytest.raises(FileNotFoundError, match="comes with cut3r"):
        get("tiny")
    (tmp_path / "tiny.safetensors").touch()
    assert get("tiny") == tmp_path / "tiny.safetensors"


def test_official_files_are_known_by_name():
    assert zoo.name_of_file("cut3r_224_linear_4.pth") == "224-linear"
    assert zoo.name_of_file("other.pth") is None


def test_the_command_from_before_still_lists_them(home):
    environment = os.environ | {"PYTHONPATH": str(Path(zoo.__file__).parents[2])}
    run = subprocess.run(
        [sys.executable, "-m", "cut3r.weights.zoo"], env=environment, capture_output=True, text=True, check=True
    )
    assert "512-dpt" in run.stderr + run.stdout
