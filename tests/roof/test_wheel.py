"""The wheel: built, installed beside nothing but what it asks for, and used from another folder."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

import cut3r
from cut3r.inference.frame_folder import read_frame_folder
from tests.roof.bare import fill

ROOT = Path(__file__).parents[2]
LARGEST = 30e6  # bytes
CORE = [line for line in (ROOT / "requirements-core.txt").read_text().splitlines() if line[0] != "#"]

pytestmark = pytest.mark.slow


def command(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(list(map(str, words)), cwd=folder, env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def copied_by_docker() -> list[Path]:
    """What the Dockerfile takes of the repository."""
    lines = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    found = {name: list(ROOT.glob(name)) for line in lines for name in line.split()}
    assert found and all(found.values()), found
    return [path for paths in found.values() for path in paths]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, since building leaves files in the folder: of what the Dockerfile copies, and no more."""
    source = tmp_path_factory.mktemp("source")
    for path in copied_by_docker():
        if path.is_dir():
            shutil.copytree(path, source / path.name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(path, source)
    return source


def build_wheel(source: Path) -> Path:
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", "dist", ".")
    done = command(*pip, folder=source)
    assert done.returncode == 0, done.stderr
    (made,) = (source / "dist").glob("cut3r-*.whl")
    return made


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    return build_wheel(source)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the wheel and the packages of requirements-core.txt."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    packages = fill(tmp_path_factory.mktemp("packages"), (Requirement(line).name for line in CORE))
    (site / "packages.pth").write_text(f"{packages}\n")
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install")
    done = command(*pip, "--no-deps", "--no-index", "--no-compile", wheel, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def test_the_wheel_is_small_and_claims_no_name_but_its_own(wheel):
    assert wheel.stat().st_size < LARGEST
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.partition("/")[0] for name in names} - {"cut3r", "croco"} == {f"cut3r-{cut3r.__version__}.dist-info"}
    for part in ("assets/tiny.safetensors", "configs/smoke.yaml", "eval/report/page.css", "train.py"):
        assert f"cut3r/roof/{part}" in names


def test_the_source_distribution_gives_the_same_wheel(source, wheel, tmp_path):
    """As `python -m build` makes it: first the archive, then the wheel from that alone."""
    program = f"from setuptools.build_meta import build_sdist\nbuild_sdist({str(tmp_path)!r})"
    done = command(sys.executable, "-c", program, folder=source)
    assert done.returncode == 0, done.stderr
    name = f"cut3r-{cut3r.__version__}"
    shutil.unpack_archive(tmp_path / f"{name}.tar.gz", tmp_path, filter="data")
    with ZipFile(wheel) as ours, ZipFile(build_wheel(tmp_path / name)) as other:
        assert set(other.namelist()) == set(ours.namelist())
        assert other.read(f"{name}.dist-info/METADATA") == ours.read(f"{name}.dist-info/METADATA")


def test_the_example_is_reconstructed_from_another_folder(installed, tmp_path):
    done = command(installed / "cut3r", "run", "--max_frames", 2, "--save", "scene.ply", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(read_frame_folder(tmp_path / "demo_tmp"))) == 2 and (tmp_path / "scene.ply").exists()
    assert "there is no 3D page, for viser is not installed: pip install 'cut3r[viewer]'" in done.stderr


def test_what_needs_more_packages_says_which(installed, tmp_path):
    done = command(installed / "cut3r", "train", "+smoke", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "cut3r train: this needs hydra: pip install 'cut3r[train]'\n"


def test_the_image_gets_every_file_that_it_copies():
    """Of what Docker ignores, nothing is copied."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert {path.name for path in copied_by_docker()} == {path.name for name in allowed for path in ROOT.glob(name)}
    assert 'ENTRYPOINT ["cut3r"]' in (ROOT / "Dockerfile").read_text()
