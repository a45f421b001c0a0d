"""`cut3r models`: networks by name."""

import hashlib

import pytest

from cut3r.run.command import main
from cut3r.run.console import NO_INPUT, WRONG_ARGUMENTS
from cut3r.weights import zoo

NAME, FILE = "512-dpt", zoo.OFFICIAL["512-dpt"].file
CONTENT = b"not a network, but a file of which somebody has noted the digest"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("CUT3R_HOME", str(tmp_path))
    return tmp_path


def test_the_list_names_every_network_with_size_and_licence(capfd):
    assert main(["models", "list"]) == 0
    said = capfd.readouterr().err
    assert all(part in said for part in (*zoo.NAMES, FILE, "3.2 GB", "3.0 GB", "not downloaded", "CC BY-NC-SA 4.0"))


def test_what_is_here_is_verified(home, capfd):
    (home / FILE).write_bytes(CONTENT)
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert main(["models", "verify"]) == 0
    said = capfd.readouterr().err
    assert f"{NAME} is at {home / FILE} and in order, SHA-256 {digest}" in said and "tiny is at" in said
    assert "224-linear" not in said


def test_a_bundled_network_that_has_changed_is_one_sentence(tmp_path, monkeypatch, capfd):
    changed = tmp_path / "tiny.safetensors"
    changed.write_bytes(zoo.BUNDLED["tiny"].read_bytes()[:-1])
    assert main(["models", "verify", "tiny"]) == 0
    monkeypatch.setitem(zoo.BUNDLED, "tiny", changed)
    assert main(["models", "verify", "tiny"]) == WRONG_ARGUMENTS
    assert "it has changed; install cut3r again" in capfd.readouterr().err.splitlines()[-1]


def test_what_has_changed_is_one_sentence(home, capfd):
    (home / FILE).write_bytes(CONTENT)
    (home / f"{FILE}.sha256").write_text("0" * 64)
    for act in (["verify"], ["verify", NAME], ["download", NAME]):
        assert main(["models", *act]) == WRONG_ARGUMENTS
        said = capfd.readouterr().err.splitlines()
        assert said[-1].startswith("cut3r models: ") and f"`cut3r models download {NAME}`" in said[-1]


@pytest.mark.parametrize(("name", "code"), [("512", WRONG_ARGUMENTS), (NAME, NO_INPUT)])
def test_what_is_not_here_is_one_sentence(name, code, capfd):
    assert main(["models", "verify", name]) == code
    assert capfd.readouterr().err.startswith("cut3r models: ")
