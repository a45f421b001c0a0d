"""A folder in one format or several. All of them together are what splat trainers take as it is:

    images/NAME.jpg         the original pictures, upright; no others
    sparse/0/               cameras, images, points3D of COLMAP, .bin and .txt
    transforms.json         the same cameras for nerfstudio
    pointcloud.ply          the same points; the only .ply
    depth/NAME.png          16 bits, millimetres, 0: unknown
    masks/NAME.png          white: use; only if there are masks
    README.txt

All of them share one world: metres, z up. It is made beside its place under a temporary name, and is whole when it is
there. What readers demand: tests/export/test_readers.py.
"""

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from cut3r.export.exported import ExportedFrame
from cut3r.export.formats import OF_FRAMES, WRITERS, frame_files
from cut3r.export.scene import Scene
from cut3r.files.disk import DiskFullError, is_disk_full
from cut3r.files.work_folder import put_in_place, work_folder
from cut3r.io.frame import Frame
from cut3r.run.formats import Part
from cut3r.run.targets import README, SIGN, check_folder

ABOUT = {
    Part.pictures: "the pictures",
    Part.colmap: "COLMAP model: cameras, poses, points with their tracks",
    Part.transforms: "the cameras for nerfstudio; applied_transform leads from the reconstruction's world to this one",
    Part.points: "the points",
    Part.depth: "16 bits, millimetres, 0: unknown (and beyond 65.535 m)",
    Part.masks: "white: use this pixel, black: ignore it (PostShot asks which of them to remove)",
    Part.glb: "the points and cameras for Blender and web viewers",
    Part.tum: "where the camera was at each frame of the run: time stamp, position, quaternion x y z w",
    Part.kitti: "the same as rows of 3x4 matrices",
    Part.mesh: "the surface that the frames agree on, with colours",
    Part.mesh_glb: "the same for Blender and web viewers",
    Part.depth_video: "the depth of all frames: near is red, far is blue",
    Part.flight: "a flight through the points along the way of the camera",
    Part.rerun: "all frames for Rerun's viewer, in the world of the reconstruction",
}


def write_folder(
    folder: Path,
    parts: set[Part],
    scene: Scene,
    originals: Iterable[Frame] | None,
    *,
    pictures: str,
    command: str,
    on_progress: Callable[[int, int], None] | None = None,
    of_run: Mapping[Part, Callable[[Path], None]] | None = None,
) -> None:
    """Write the parts; what was exported there before is replaced.

    Args:
        originals: The original pictures of the frames, in their order, with masks if the scene is masked. None if no
            part needs them.
        pictures: jpg or png: for those that cannot be copied.
        command: What made the scene, for the README.
        of_run: Write the parts that show all frames of the run.

    Raises:
        DiskFullError: There is no room. What was at the folder before stays.
        ValueError: Files of others have come to be there.
    """
    folder = folder.resolve()  # of a link, what it leads to is replaced
    try:
        with work_folder(folder) as work:
            names = _write_frames(work, parts, scene, originals, pictures, on_progress)
            for part in sorted(parts & WRITERS.keys(), key=list(Part).index):
                WRITERS[part](work, scene, names, parts)
            for part, write in (of_run or {}).items():
                write(work / part.value)
            (work / README).write_text(_readme(scene, parts, command), encoding="utf-8")
            check_folder(folder, replace=True)
            put_in_place(work, folder)
    except OSError as error:
        if folder.parent.is_dir() and is_disk_full(error, folder.parent) and not isinstance(error, DiskFullError):
            raise DiskFullError(folder.parent) from error
        raise


def _write_frames(
    folder: Path,
    parts: set[Part],
    scene: Scene,
    originals: Iterable[Frame] | None,
    pictures: str,
    on_progress: Callable[[int, int], None] | None,
) -> list[str]:
    """Write what each frame has; gives the names of the pictures."""
    if not parts & (OF_FRAMES | {Part.colmap, Part.transforms}):
        return []
    names = []
    pairs = zip(scene.frames, [None] * len(scene.frames) if originals is None else originals, strict=True)
    for number, (frame, original) in enumerate(pairs):
        names.append(frame_files(folder, parts, scene, frame, original, pictures))
        if on_progress is not None:
            on_progress(number + 1, len(scene.frames))
    return names


def _readme(scene: Scene, parts: set[Part], command: str) -> str:
    written = [part for part in Part if part in parts and (part is not Part.masks or scene.masked)]
    width = max(len(part.value) for part in written) + 3
    lines = "\n".join(f"{part.value:{width}}{ABOUT[part]}" for part in written)
    turn = "\n".join("  ".join(f"{number:12.9f}" for number in row) for row in scene.upright[:3, :3])
    return f"""{SIGN} on {datetime.datetime.now().astimezone():%Y-%m-%d %H:%M %Z}
{command}

Metres; z is up. {_about_frames(scene, parts)}
{lines}

This world is that of the reconstruction (x right, y down, z forward, as the first camera sees it), turned by
{turn}
{_about_points(scene)}"""


def _about_frames(scene: Scene, parts: set[Part]) -> str:
    if not parts & (OF_FRAMES | {Part.colmap, Part.transforms}):
        return f"{len(scene.path.times_s):,} frames.\n"
    masks = "" if scene.masked else " There are no masks: none were given."
    return f"""{len(scene.frames)} pictures. Pinhole cameras without distortion. They look along +z of their own axes
in sparse/0 (OpenCV), along -z in transforms.json (OpenGL).{masks}
{_about_cameras(scene.frames)}
"""


def _about_points(scene: Scene) -> str:
    if scene.tracks is None:
        return ""
    tracks, count = scene.tracks, len(scene.tracks.world)
    return f"""
{count:,} points. Each is seen by {len(tracks.frames) / count:.1f} pictures on average, and projects
{tracks.errors.mean():.2f} pixels from where they see it.
"""


def _about_cameras(frames: Sequence[ExportedFrame]) -> str:
    if len({(frame.size, frame.intrinsics_original.tobytes()) for frame in frames}) == 1:
        return "All pictures have one camera."
    focals = [frame.intrinsics_original[0, 0] for frame in frames]
    return (
        f"Each picture has its own camera, with focal lengths of {min(focals):.1f} to {max(focals):.1f} pixels.\n"
        "Programs that know one camera only, such as LichtFeld's reader of transforms.json, should open sparse/0; or\n"
        "align the run with cut3r align --align full --shared-focal first."
    )
