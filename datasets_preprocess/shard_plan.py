"""Which files of a processed folder go into which shard, decided before anything is packed.

Files of a frame stand one after the other, and so do the frames of a scene: programs that read shards from one end to
the other find samples whole. The name of a shard ends in a hash of the names, sizes and times of its files. So a plan
that is made again gives the same names for what has not changed, and no shard is ever changed under a reader.
"""

import hashlib
import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from cut3r.data.layout import Layout
from cut3r.data.processed import INDEX
from cut3r.files.shards import padded

logger = logging.getLogger(__name__)

GIGABYTE = 1 << 30
_HEADER = 512  # bytes of a file in a shard, beside its own
_HASH = 16  # hexadecimal digits


@dataclass(frozen=True)
class Member:
    """A file below the processed folder, and the place that it takes."""

    name: str
    size: int
    changed_ns: int

    @property
    def bytes(self) -> int:
        return _HEADER + padded(self.size)


@dataclass(frozen=True)
class PlannedShard:
    """A shard and its files. The names are kept as one text, because there may be millions."""

    name: str
    joined: str  # by "\\0"

    @property
    def members(self) -> list[str]:
        return self.joined.split("\0")


def plan_shards(root: Path, layout: Layout, slug: str, limit: int) -> list[PlannedShard]:
    """Divide the files of a processed folder among shards of at most `limit` bytes (more, if one frame is larger).

    Hidden files and the index of scenes are left out, and links to nothing, which are logged.
    """
    shards: list[PlannedShard] = []
    waiting: list[Member] = []
    size = 0
    for frame in _frames(_files(root), layout):
        more = sum(member.bytes for member in frame)
        if waiting and size + more > limit:
            shards.append(_shard(slug, len(shards), waiting))
            waiting, size = [], 0
        waiting += frame
        size += more
    return [*shards, _shard(slug, len(shards), waiting)] if waiting else shards


def digest_of(members: Iterable[Member]) -> str:
    """Tell lists of files apart by names, order, sizes and times of change."""
    digest = hashlib.sha256()
    for member in members:
        digest.update(f"{member.name}\0{member.size} {member.changed_ns}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()[:_HASH]


def look_at(root: Path, name: str) -> Member:
    """Look at a file that is to be packed."""
    state = (root / name).stat()
    return Member(name, state.st_size, state.st_mtime_ns)


def _shard(slug: str, number: int, members: list[Member]) -> PlannedShard:
    name = f"{slug}-{number:06d}-{digest_of(members)}.tar"
    return PlannedShard(name, "\0".join(member.name for member in members))


def _files(root: Path, folder: str = "", above: tuple[str, ...] = ()) -> Iterator[Member]:
    """List the files in a folder and in all below it, folder by folder, sorted; links are followed."""
    real = os.path.realpath(root / folder)
    if real in above:
        raise ValueError(f"{root / folder} links to a folder that it is in, and so has no end; remove the link")
    with os.scandir(root / folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name = f"{folder}/{entry.name}" if folder else entry.name
        if entry.name.startswith(".") or name == INDEX:
            continue
        if entry.is_dir():
            yield from _files(root, name, (*above, real))
        elif entry.is_file():
            yield look_at(root, name)
        else:
            logger.warning("%s is no file, or a link to nothing, and is left out", root / name)


def _frames(files: Iterable[Member], layout: Layout) -> Iterator[list[Member]]:
    """Bring together the files of each frame, scene by scene."""
    patterns = [_pattern(template) for kind in layout.templates for template in layout.alternatives(kind)]
    for _, scene in groupby(((_place(member.name, patterns), member) for member in files), key=lambda pair: pair[0][0]):
        ordered = sorted(scene, key=lambda pair: (pair[0][1], pair[1].name))
        for _, frame in groupby(ordered, key=lambda pair: pair[0][1]):
            yield [member for _, member in frame]


def _place(name: str, patterns: list[re.Pattern[str]]) -> tuple[str, str]:
    """Give the scene and the frame of a file; one that is in no layout stands alone in its folder."""
    found = next((match for pattern in patterns if (match := pattern.fullmatch(name))), None)
    if found is None:
        return name.rpartition("/")[0], name
    fields = found.groupdict()
    return fields.get("scene") or "", fields.get("frame") or ""


def _pattern(template: str) -> re.Pattern[str]:
    """Make a pattern of a template of paths: a scene may have several folders, other fields are part of a name."""
    parts = re.split(r"(\{\w+\})", template)
    seen: set[str] = set()
    text = ""
    for part in parts:
        field = part[1:-1] if part.startswith("{") else ""
        kind = ".+?" if field == "scene" else "[^/]+?"
        named = field in ("scene", "frame") and field not in seen
        seen.add(field)
        text += (f"(?P<{field}>{kind})" if named else kind) if field else re.escape(part)
    return re.compile(text)
