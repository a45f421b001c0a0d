"""What people can download from the page of a run: everything that --save and --export write."""

import threading
from functools import partial
from pathlib import Path

from cut3r.export.config import ExportConfig
from cut3r.export.of_run import export_run
from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.view import EDGES
from cut3r.run.finished import FinishedRun
from cut3r.run.known import Known
from cut3r.run.targets import PAGE
from cut3r.viewer.downloads import Download
from cut3r.viewer.page_file import write_page

FILES = {
    ".ply": "points",
    ".glb": "points and cameras, upright, for Blender and the web",
    ".tum": "cameras with times",
    ".kitti": "cameras as matrices",
    ".npz": "points and cameras as arrays",
    PAGE: "a page in one file, without a server",
}
FOLDERS = {
    "scene": "for splat trainers: pictures, cameras, depth, points",
    "colmap": "pictures and cameras as COLMAP has them",
    "nerfstudio": "pictures and cameras as nerfstudio has them",
    "ply": "points, upright, as folders of scenes have them",
    "glb": "points and cameras, as folders of scenes have them",
    "depth": "depth maps",
    "masks": "masks",
    "tum": "cameras, as folders of scenes have them",
    "kitti": "cameras, as folders of scenes have them",
    "mesh": "a surface",
    "video": "videos of depth and of a flight",
    "rerun": "a recording for Rerun",
}


def downloads_of(
    folder: Path,
    *,
    scene: Reconstruction | None = None,
    confidence: float,
    edges: float | None = EDGES,
    masks: Path | None = None,
) -> list[Download]:
    """List them.

    Args:
        folder: Of the run.
        scene: That of a run which goes on: its files can be had at any time. None: it is made of the folder, once.
        confidence: Points at or below are left out.
        masks: A folder of them, for the formats that hold any.
    """
    made = _Made(folder, confidence, edges)

    def save(path: Path, suffix: str) -> None:
        now = made.scene() if scene is None else scene
        if not now.frame_count:
            return
        if suffix == PAGE:
            write_page(path, now.cloud(), now.cameras)
        else:
            now.save(path)

    def export(path: Path, name: str) -> None:
        config = ExportConfig(confidence=confidence, edges=edges)
        export_run(FinishedRun(folder, stopped=True), path, config, formats=[name], masks=masks)

    files = [
        Download(f"scene{suffix}", what, partial(save, suffix=suffix), at_any_time=scene is not None)
        for suffix, what in FILES.items()
    ]
    folders = [
        Download(f"folder_{name}", what, partial(export, name=name), at_any_time=False)
        for name, what in FOLDERS.items()
        if name != "masks" or masks is not None
    ]
    return files + folders


class _Made:
    """The scene of a folder, read when somebody wants it."""

    def __init__(self, folder: Path, confidence: float, edges: float | None) -> None:
        self._folder, self._confidence, self._edges = folder, confidence, edges
        self._scene: Reconstruction | None = None
        self._lock = threading.Lock()

    def scene(self) -> Reconstruction:
        with self._lock:
            if self._scene is None:
                scene = Reconstruction(confidence=self._confidence, edges=self._edges)
                for view, _ in FinishedRun(self._folder, stopped=True).views(Known()):
                    scene.add(view)
                self._scene = scene
            return self._scene
