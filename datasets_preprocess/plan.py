"""What there is to do: the scenes of a shard, and which of them are due."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cut3r.files.packed_path import require_plain
from cut3r.jobs.job import EXPECTED, Job, measure
from cut3r.jobs.log import positions, read_records
from cut3r.jobs.progress import bytes_text, size_of
from cut3r.jobs.record import Done, Outcome, Record, Rule
from datasets_preprocess.converter import Converter, RawScene, Unlisted
from datasets_preprocess.options import as_json
from datasets_preprocess.writer import Writer

STATUS = ".status"
CLAIMS = "claims"  # in it
LOOKERS = 16  # threads
PORTION = 1024  # jobs; an interruption waits for no more


@dataclass(frozen=True)
class Shard:
    """Number `number` of `count`, from 1: every `count`-th scene."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f"there is no shard {self.number}/{self.count}; the first of eight is 1/8, the last 8/8")

    @classmethod
    def parse(cls, text: str) -> "Shard":
        number, _, count = text.partition("/")
        if not (number.isdigit() and count.isdigit()):
            raise ValueError(f"'{text}' is not a shard; write 3/8 for the third of eight")
        return cls(int(number), int(count))


WHOLE = Shard()


@dataclass(frozen=True)
class Plan:
    """The jobs of a shard: all, those that are due, and the current records of the others (without their frames)."""

    jobs: list[Job]
    due: list[Job]
    records: Mapping[str, Record]
    changed: frozenset[str]  # due because their raw files have changed
    unlisted: list[Unlisted]
    rule: Rule
    since: Mapping[Path, int]  # positions in the files of records when they were read

    def __str__(self) -> str:
        due = {job.name for job in self.due}
        counts = Counter(self.records[job.name].outcome for job in self.jobs if job.name not in due)
        lines = [
            f"{len(self.jobs)} scenes: {counts[Outcome.done]} done, {counts[Outcome.left_out]} left out, "
            f"{counts[Outcome.failed]} failed before (--retry-failed), {len(due)} due "
            f"({bytes_text(size_of(self.due))} of raw files)"
        ]
        if self.changed:
            lines.append(f"  {len(self.changed)} of them again, because raw files have changed: {min(self.changed)}")
        lines += [f"  the scenes of {part.name} cannot be listed: {part.reason}" for part in self.unlisted]
        return "\n".join(lines)


def make_plan(
    converter: Converter,
    raw: Path,
    out: Path,
    *,
    shard: Shard = WHOLE,
    retry_failed: bool = False,
    again: Iterable[str] = (),
    parity: bool = False,
    options: Any = None,
) -> Plan:
    """List the scenes of a shard and decide which are due; nothing is written. See `run`.

    Raises:
        FileNotFoundError: There is no raw folder, or no scene in it.
        ValueError: There is no such scene to convert again, or `out` is packed.
    """
    require_plain(out)
    if not raw.is_dir():
        raise FileNotFoundError(f"there is no folder {raw}; download {converter.name} first and pass it as --raw")
    listed = list(converter.scenes(raw))
    if not listed:
        raise FileNotFoundError(f"no {converter.name} scene in {raw}; datasets_preprocess/README.md shows its layout")
    unlisted = [part for part in listed if isinstance(part, Unlisted)]
    found = sorted((scene for scene in listed if isinstance(scene, RawScene)), key=lambda scene: scene.name)
    named = _named(found, again)
    if options is None and converter.options is not None:
        options = converter.options()
    rule = Rule(converter.version, parity, as_json(options))
    blank = Writer(out, converter.reader.layout, parity, options)
    jobs = [job_of(converter, raw, scene, blank, rule) for scene in found[shard.number - 1 :: shard.count]]
    since = positions(out / STATUS)  # before they are read: other runs go on writing, also while we look at raw files
    records = current_records(out, rule)
    changed = frozenset(_changed(jobs, records))
    due = [job for job in jobs if job.name in changed | named or _is_due(records.get(job.name), retry_failed)]
    return Plan(jobs, due, records, changed, unlisted, rule, since)


def current_records(out: Path, rule: Rule) -> dict[str, Record]:
    """Read the records (without frames) that were made by this rule."""
    records = read_records(out / STATUS, with_frames=False)
    return {record.scene: record for record in records if record.follows(rule)}


def job_of(converter: Converter, raw: Path, scene: RawScene, blank: Writer, rule: Rule) -> Job:
    """Make a job of a scene. `blank` is a writer for no scene in particular."""
    work = partial(_convert, converter, raw, scene, blank.out, blank.parity, blank.options)
    return Job(scene.name, work, partial(converter.sources, raw, scene), len(scene.frames), rule)


def _convert(converter: Converter, raw: Path, scene: RawScene, out: Path, parity: bool, options: Any) -> Done:
    writer = Writer(out, converter.reader.layout, parity, options)
    frames = tuple(converter.convert(raw, scene, writer))
    return Done(frames, writer.left_out, writer.written(), {"files": writer.files(frames)})


def _named(scenes: list[RawScene], again: Iterable[str]) -> set[str]:
    names: set[str] = set()
    for wanted in again:
        matching = {scene.name for scene in scenes if f"/{scene.name}".endswith(f"/{wanted}")}
        if not matching:
            raise ValueError(
                f"there is no scene {wanted} to convert again; the first of {len(scenes)} is {scenes[0].name}"
            )
        names |= matching
    return names


def _changed(jobs: list[Job], records: Mapping[str, Record]) -> Iterator[str]:
    """Name the jobs whose raw files have changed; many are looked at together, as a network drive takes its time."""
    with ThreadPoolExecutor(LOOKERS) as pool:
        for start in range(0, len(jobs), PORTION):
            portion = jobs[start : start + PORTION]
            flags = pool.map(_has_changed, [records.get(job.name) for job in portion], portion)
            yield from (job.name for job, changed in zip(portion, flags, strict=True) if changed)


def _has_changed(record: Record | None, job: Job) -> bool:
    if record is None or not record.raw:
        return False
    try:
        return record.raw != measure(job).fingerprint
    except EXPECTED:
        return True  # converting it says why


def _is_due(record: Record | None, retry_failed: bool) -> bool:
    return record is None or (retry_failed and record.failed)
