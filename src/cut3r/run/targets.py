"""What is left in the end beside the files of a run: files by their suffix, and folders of one format or several."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cut3r.files.disk import check_creatable
from cut3r.inference.frame_folder import SUFFIXES, is_frame_file
from cut3r.inference.reconstruction import check_suffix, is_folder
from cut3r.run.formats import FORMATS, LIVE_RERUN, SCENE
from cut3r.run.output_check import RESUME_FILES, is_same, place_of, places_of

SIGN = "A scene exported by cut3r"  # how README.txt begins: a folder of ours may be replaced
README = "README.txt"
PAGE = ".html"  # the suffix of a scene as one web page


@dataclass(frozen=True)
class Target:
    """A file of a `Reconstruction`, or a folder that is exported in some formats. `flag` asked for it."""

    path: Path
    formats: tuple[str, ...] = ()  # of a folder, names of FORMATS; a file has none
    flag: str = "--save"

    @property
    def is_folder(self) -> bool:
        return bool(self.formats)


def targets_of(args: argparse.Namespace, into: Path = Path()) -> list[Target]:
    """What --save and --export ask for, but for `viewers_of`. Formats that go to one folder become one target.

    Args:
        into: Where names without a folder go.

    Raises:
        ValueError: A suffix that nobody writes, an unknown format, or no place.
    """
    found: dict[Path, Target] = {}
    folders = [word for word in args.export if not _is_viewer(word)]
    for target in (*map(_saved, args.save), *map(_exported, folders)):
        if target.path.name == str(target.path):
            target = replace(target, path=into / target.path)
        before = found.get(target.path)
        if before is not None and before.is_folder and target.is_folder:
            target = replace(before, formats=(*before.formats, *target.formats))
        elif before is not None:
            raise ValueError(f"{target.flag} {target.path} is named twice; give each file a name of its own")
        found[target.path] = target
    return list(found.values())


def viewers_of(args: argparse.Namespace) -> list[str]:
    """The viewers of Rerun that watch the run: their addresses, or "spawn"."""
    return [word.removeprefix(_RERUN) for word in args.export if _is_viewer(word)]


def check_targets(folder: Path, targets: Sequence[Target], inputs: Sequence[Path]) -> None:
    """See that what a run writes in the end can be written, and takes the place of nothing that is needed.

    Args:
        folder: Of the run.

    Raises:
        ValueError: A place that takes no file, the same place twice, one that holds the input or files of others, or
            one of those that the run writes by itself into its folder.
    """
    seen: set[Path] = set()
    for target in targets:
        if target.is_folder:
            check_folder(target.path, replace=True)
        else:
            check_creatable(target.path)
        if (place := place_of(target.path)) in seen:
            raise ValueError(f"{target.flag} {target.path} is named twice; give each file a name of its own")
        seen.add(place)
        if _is_reserved(folder, target):
            raise ValueError(
                f"{target.flag} {target.path} is a place that the run writes into {folder} itself; give it another name"
            )
        folders = [one.path for one in targets if one.is_folder and not is_same(one.path, target.path)]
        if around := [place for place in folders if _lies_in(target.path, place)]:
            raise ValueError(f"{target.flag} {target.path} lies in {around[0]}, which is replaced as a whole")
    places = places_of(inputs) if targets else {}
    for target in targets:
        if (file := _input_at(target, places)) is not None:
            raise ValueError(f"{target.flag} {target.path} would replace the input {file}; give it another name")


def check_folder(folder: Path, *, replace: bool) -> None:
    """Refuse a folder in which something is that an export must not replace, or that cannot be made.

    Args:
        replace: What was exported before may be replaced.

    Raises:
        ValueError: It is a file, holds something else than an exported scene, or one that is not to be replaced.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name another folder for the scene")
    real = folder.resolve()  # of a link, what it leads to is replaced
    check_creatable(real.with_name(f"{real.name}.new"))
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not _is_ours(folder):
        raise ValueError(
            f"{folder} holds files of others, which would be lost; name an empty or a new folder for the scene"
        )
    if not replace:
        raise ValueError(
            f"{folder} holds a scene that was exported before; replace it with --overwrite, or name another"
        )


def _is_ours(folder: Path) -> bool:
    readme = folder / README
    return readme.is_file() and readme.read_bytes().startswith(SIGN.encode())


def _saved(word: str) -> Target:
    path = Path(word)
    if not word.strip():
        raise ValueError("--save is empty; name a file or a folder, or leave the flag out")
    if is_folder(word):
        return Target(path, (SCENE,))
    if path.suffix.lower() == PAGE:
        return Target(path)
    try:
        check_suffix(path)
    except ValueError as error:
        if path.is_dir():
            return Target(path, (SCENE,))
        raise ValueError(f"--save {error}, {PAGE}; or, with / at its end, as a folder for splat trainers") from error
    return Target(path)


_RERUN = "rerun:"


def _is_viewer(word: str) -> bool:
    place = word.removeprefix(_RERUN)
    return place != word and (place == LIVE_RERUN[0] or place.startswith(LIVE_RERUN[1:]))


def _exported(word: str) -> Target:
    name, _, place = word.partition(":")
    if name not in FORMATS or not place.strip():
        raise ValueError(f"--export is {word!r}; expected FORMAT:DIR, where FORMAT is one of {', '.join(FORMATS)}")
    return Target(Path(place), (name,), f"--export {name}:")


def _is_reserved(folder: Path, target: Target) -> bool:
    path = target.path
    if target.is_folder:
        ours = [folder / kind for kind in SUFFIXES]
        return _lies_in(folder, path) or any(_lies_in(path, place) for place in ours)
    if any(is_same(path.parent, folder / kind) for kind in SUFFIXES):
        return is_frame_file(path)
    return is_same(path.parent, folder) and path.name.lower() in RESUME_FILES


def _input_at(target: Target, places: dict[Path, Path]) -> Path | None:
    """The file of the input that a target would replace: of the same name, or where upper case does not count."""
    path = target.path
    if target.is_folder:
        real = path.resolve()
        return next((file for place, file in places.items() if place.is_relative_to(real)), None)
    if place_of(path) in places:
        return places[place_of(path)]
    if not path.exists():
        return None
    return next((file for place, file in places.items() if is_same(place, path)), None)


def _lies_in(path: Path, folder: Path) -> bool:
    """Whether it is the folder, or something below it; links are followed."""
    return path.resolve().is_relative_to(folder.resolve())
