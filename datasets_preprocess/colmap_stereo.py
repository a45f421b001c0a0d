"""COLMAP's own stereo, run by its command line: needs a COLMAP with CUDA on the PATH."""

import logging
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

logger = logging.getLogger(__name__)

LAST_LINES = 5  # of COLMAP's output, in messages
MAPS = "stereo/depth_maps/{}.geometric.bin"


def colmap_missing() -> str:
    """Say why COLMAP's stereo cannot run here; empty if it can."""
    program = shutil.which("colmap")
    return "there is no program colmap on the PATH" if program is None else _without_cuda(program)


@lru_cache
def _without_cuda(program: str) -> str:
    done = subprocess.run([program, "-h"], capture_output=True, text=True, check=False)
    about = done.stdout + done.stderr
    if "with CUDA" in about:
        return ""
    first = next((line.strip() for line in about.splitlines() if line.strip()), f"exit status {done.returncode}")
    return f"{program} ({first}) is built without CUDA, which its patch_match_stereo needs"


def colmap_depth_maps(photos: Path, model: Path, names: list[str], workspace: Path) -> dict[str, Path]:
    """Compute the depth maps of a model's images, those that the workspace lacks: by name, where there is one.

    Args:
        photos: Below which the images lie by the names of the model; they have no distortion.
        model: The folder of cameras, images and points3D.

    Raises:
        RuntimeError: COLMAP has failed; the message ends with what it said last.
    """
    found = _maps(workspace, names)
    if len(found) == len(names):
        return found
    if not (workspace / "sparse").is_symlink():
        _make_workspace(photos, model, workspace)
    _run(
        "patch_match_stereo",
        *("--workspace_path", workspace, "--workspace_format", "COLMAP"),
        *("--PatchMatchStereo.cache_size", 512, "--PatchMatchStereo.geom_consistency", "true"),
    )
    return _maps(workspace, names)


def _make_workspace(photos: Path, model: Path, workspace: Path) -> None:
    """The undistorter lists which images to compare; then the original photos and model take the place of its own."""
    shutil.rmtree(workspace, ignore_errors=True)
    workspace.mkdir(parents=True)
    paths = ("--image_path", photos, "--input_path", model, "--output_path", workspace)
    _run("image_undistorter", *paths, "--output_type", "COLMAP")
    for name, original in (("images", photos), ("sparse", model)):  # `sparse` last: its link says that all is ready
        shutil.rmtree(workspace / name)
        (workspace / name).symlink_to(original.absolute())


def _maps(workspace: Path, names: list[str]) -> dict[str, Path]:
    paths = {name: workspace / MAPS.format(name) for name in names}
    return {name: path for name, path in paths.items() if path.is_file()}


def _run(command: str, *arguments: object) -> None:
    logger.info("colmap %s ...", command)
    line = ["colmap", command, *(str(argument) for argument in arguments)]
    done = subprocess.run(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
    )
    if done.returncode:
        said = " | ".join(done.stdout.strip().splitlines()[-LAST_LINES:])
        raise RuntimeError(f"colmap {command} has ended with {done.returncode}: {said}")
