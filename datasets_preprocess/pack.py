"""Packs a processed folder into tar shards, from which the same reader reads: no small files, one read per file.

A shard is the unit of work of the engine that converters use: written atomically, by any number of processes, and not
touched again. The index is written last, when all shards are there, so a packed folder is whole or says that it is not.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cut3r.files.atomic import atomic_path
from cut3r.files.listing import visible
from cut3r.files.locks import exclusive
from cut3r.files.packed_path import UNFINISHED, is_packed
from cut3r.files.shards import read_about, read_packed, write_packed, write_shard, write_shard_index
from cut3r.jobs.claims import Claims
from cut3r.jobs.job import Job
from cut3r.jobs.log import SUFFIX as LOG_SUFFIX
from cut3r.jobs.progress import Room, Tally, bytes_text
from cut3r.jobs.record import Done, Record
from cut3r.jobs.runner import STOP_AFTER, JobRun
from cut3r.jobs.workers import open_workers
from datasets_preprocess.converter import Converter
from datasets_preprocess.defaults import SHARD_GB
from datasets_preprocess.finish import make_index
from datasets_preprocess.plan import CLAIMS, STATUS
from datasets_preprocess.runner import read_records
from datasets_preprocess.shard_plan import GIGABYTE, PlannedShard, digest_of, look_at, plan_shards

logger = logging.getLogger(__name__)

PARTS = "parts"  # where the files of each shard lie in it, until the index is written and for the next run


@dataclass(frozen=True)
class Packing:
    """What a run found and did. `removed` counts shards of an earlier packing that are no longer in the plan."""

    total: int
    packed: int
    removed: int
    failures: list[Record] = field(default_factory=list)
    stopped: str = ""

    @property
    def complete(self) -> bool:
        return not (self.failures or self.stopped)

    def __str__(self) -> str:
        lines = [f"{self.total} shards: {self.packed} packed now, {len(self.failures)} failed"]
        if self.removed:
            lines.append(f"  {self.removed} of an earlier packing were removed: their files have changed")
        lines += [f"  {record.scene}: {record.reason}" for record in self.failures]
        if not self.complete:
            lines.append("  there is no index yet; the same command goes on")
        return "\n".join([*lines, *([self.stopped] if self.stopped else [])])


def pack(
    converter: Converter,
    out: Path,
    target: Path,
    *,
    shard_gb: float = SHARD_GB,
    workers: int = 1,
    stop_after: int = STOP_AFTER,
) -> Packing:
    """Pack a processed folder into another one, or what has changed in it since.

    Args:
        shard_gb: The size of a shard, in GiB.
        workers: Processes.
        stop_after: End when so many shards in a row have failed; 0 goes on whatever happens.

    Raises:
        FileNotFoundError: There is no processed folder, or nothing in it.
        ValueError: It is packed already, or the target holds something else.
        DiskFullError: There is no room, or there will not be; finished shards stay.
    """
    check_folders(converter, out, target)
    if not shard_gb > 0:
        raise ValueError(f"a shard of {shard_gb} GiB cannot be; 1 is usual")
    limit = int(shard_gb * GIGABYTE)
    plan = plan_shards(out, converter.reader.layout, converter.name, limit)
    if not plan:
        raise FileNotFoundError(f"there are no files in {out}; convert {converter.name} first")
    status = target / UNFINISHED
    (status / PARTS).mkdir(parents=True, exist_ok=True)
    jobs = [_job(out, target, shard) for shard in plan]
    due = [job for job in jobs if _is_due(target, job, look=False)]
    logger.info("%s: %d shards, %d to pack", converter.name, len(jobs), len(due))
    if is_packed(target) and due:
        logger.info("%d of them again, because files of %s have changed: %s", len(due), out, due[0].name)
    records, stopped = _pack_all(due, target, workers, stop_after)
    failures = [record for record in records if record.failed]
    if failures or stopped:
        return Packing(len(jobs), len(records) - len(failures), 0, failures, stopped)
    about = {"dataset": converter.name, "source": str(out.resolve()), "limit": limit}
    removed = _finish(converter, out, target, [shard.name for shard in plan], about)
    return Packing(len(jobs), len(records), removed)


def check_folders(converter: Converter, out: Path, target: Path) -> None:
    """Refuse what cannot be packed, and targets that are not ours.

    Raises:
        FileNotFoundError: There is no processed folder.
        ValueError: Any other reason.
    """
    if not out.is_dir():
        raise FileNotFoundError(f"there is no folder {out}; convert {converter.name} first and pass it as --out")
    if is_packed(out):
        raise ValueError(f"{out} is packed already")
    source, place = out.resolve(), target.resolve()
    if source == place or source in place.parents or place in source.parents:
        raise ValueError(f"{target} must lie beside {out}, and not in it or around it; name another folder as --to")
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target} is a file; name a folder as --to")
    slug = _packed_before(target)
    if slug and slug != converter.name:
        raise ValueError(f"{target} holds {slug}, packed; name another folder for {converter.name} as --to")
    if not target.exists() or is_packed(target) or (target / UNFINISHED).is_dir():
        return
    if found := sorted(path.name for path in target.iterdir()):
        raise ValueError(f"{target} holds other files, such as {found[0]}; name a new folder as --to")


def _packed_before(target: Path) -> str:
    """Name the dataset that a folder holds, packed; empty if it holds none, or its index is damaged."""
    try:
        return str(read_about(target)["dataset"])
    except (FileNotFoundError, ValueError):
        return ""


def what_is_stale(converter: Converter, target: Path) -> str:
    """Say whether the folder that was packed has changed since, as far as it is still there; empty if it has not."""
    about = read_about(target)
    source = Path(about["source"])
    if not source.is_dir() or is_packed(source):
        return ""
    plan = {shard.name for shard in plan_shards(source, converter.reader.layout, converter.name, about["limit"])}
    old = sorted(set(about["shards"]) - plan)
    if not old and len(plan) == len(about["shards"]):
        return ""
    first = f", first {old[0]}" if old else ""
    return (
        f"{source} has changed since it was packed: {len(old)} of {len(about['shards'])} shards are out of date"
        f"{first}; pack it again: python -m datasets_preprocess pack {converter.name} --out {source} --to {target}"
    )


def _pack_all(due: list[Job], target: Path, workers: int, stop_after: int) -> tuple[list[Record], str]:
    """Pack what is due: the records of what this run has done, and why it has stopped early."""
    records: list[Record] = []
    with Claims(target / UNFINISHED / CLAIMS) as claims, open_workers(min(workers, max(len(due), 1))) as pool:
        run = JobRun(
            due,
            claims,
            pool,
            keep=records.append,
            is_due=partial(_is_due, target),
            tally=Tally(due),
            room=Room(target),
            stop_after=stop_after,
        )
        for _ in run:  # `keep` has them, and what a process that was lost had done
            pass
    return records, run.stopped


def _job(out: Path, target: Path, shard: PlannedShard) -> Job:
    return Job(shard.name, partial(_pack_shard, out, target, shard), partial(_sources, out, shard))


def _sources(out: Path, shard: PlannedShard) -> Iterable[Path]:
    return (out / name for name in shard.members)


def _is_due(target: Path, job: Job, *, look: bool) -> bool:
    try:
        return (target / job.name).stat().st_size != read_packed(_part(target, job.name)).size
    except (FileNotFoundError, ValueError):
        return True


def _part(target: Path, shard: str) -> Path:
    return target / UNFINISHED / PARTS / f"{shard}.npz"


def _pack_shard(out: Path, target: Path, shard: PlannedShard) -> Done:
    packed = write_shard(target / shard.name, out, shard.members)
    if f"-{digest_of(look_at(out, name) for name in shard.members)}." not in shard.name:
        (target / shard.name).unlink()
        raise ValueError(f"files of {shard.members[0]} and others have changed while they were packed; start again")
    write_packed(_part(target, shard.name), packed)
    size = (target / shard.name).stat().st_size
    return Done(written=size, remark=f"{len(packed.names)} files, {bytes_text(size)}")


def _finish(converter: Converter, out: Path, target: Path, names: list[str], about: dict[str, Any]) -> int:
    """Write the index, and what the converter recorded; then remove the shards that are no longer needed, and count
    them."""
    with exclusive(target / UNFINISHED / "finish.lock"):
        if not _is_current(target, names):
            write_shard_index(target, ((name, read_packed(_part(target, name))) for name in names), **about)
        lines = "".join(f"{record.to_json()}\n" for record in read_records(out))
        if lines:
            with atomic_path(target / STATUS / f"packed{LOG_SUFFIX}") as temporary:
                temporary.write_text(lines)
        removed = _remove_others(target, set(names))
        make_index(converter, target, anew=True)
        return removed


def _is_current(target: Path, names: list[str]) -> bool:
    """Tell whether the index is of these shards; their names say what is in them."""
    try:
        return bool(read_about(target)["shards"] == names)
    except (FileNotFoundError, ValueError):
        return False


def _remove_others(target: Path, names: set[str]) -> int:
    """Remove shards of an earlier plan, which the folder of parts names, and what interrupted runs have left."""
    old = [part.stem for part in visible(target / UNFINISHED / PARTS, "*.npz") if part.stem not in names]
    for name in old:
        (target / name).unlink(missing_ok=True)
        _part(target, name).unlink()
    stems = {Path(name).stem for name in [*names, *old]}
    for path in target.glob(".*.tar"):  # of atomic_path, when its process was killed
        if path.stem.removeprefix(".").rpartition(".")[0] in stems:
            path.unlink()
    return len(old)
