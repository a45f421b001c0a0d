"""How far the conversion of a folder is: from the records alone, without a look at the scenes."""

import re
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from cut3r.jobs.claims import read_claims
from cut3r.jobs.log import SUFFIX, read_origins
from cut3r.jobs.progress import bytes_text, duration
from cut3r.jobs.record import Outcome, Record
from datasets_preprocess.plan import CLAIMS, STATUS

REASONS_SHOWN = 10
SHARD = re.compile(r"(\d+)-of-(\d+)\.")  # how the logs of shards are named
PARTICULARS = re.compile(r"\S*[/\\]\S*|\d+")  # paths and numbers, in which reasons of one kind differ


def status(out: Path) -> str:
    """Say how many scenes are done, left out and failed, for which reasons, by whom, and what is being done.

    Raises:
        FileNotFoundError: There is no record.
    """
    origins = read_origins(out / STATUS, with_frames=False)
    records = [record for _, record in origins]
    claims = read_claims(out / STATUS / CLAIMS)
    if not records and not claims:
        raise FileNotFoundError(
            f"there is no record of a conversion in {out / STATUS}; pass as --out the processed folder"
        )
    counts = Counter(record.outcome for record in records)
    lines = [f"{len(records)} scenes: " + ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome)]
    lines.append(
        f"  {bytes_text(sum(record.written for record in records))} written in "
        f"{duration(sum(record.seconds for record in records))} of work"
    )
    rules = Counter((record.version, record.parity, str(record.options or {})) for record in records)
    if len(rules) > 1:
        lines += [
            f"  {count} of version {version}{', parity' if parity else ''}, options {options}"
            for (version, parity, options), count in rules.most_common()
        ]
    lines += _by_reason("frames left out", (reason for record in records for reason in record.left_out.values()))
    lines += _by_reason("scenes left out", _reasons(records, Outcome.left_out))
    lines += _by_reason("scenes failed", _reasons(records, Outcome.failed))
    lines += [
        f"  {claim['scene']}: begun by {claim['host']}, {duration(time.time() - claim['time'])} ago" for claim in claims
    ]
    return "\n".join([*lines, *_by_log(origins)])


def _reasons(records: Iterable[Record], outcome: Outcome) -> Iterable[str]:
    return (record.reason for record in records if record.outcome is outcome)


def _by_reason(what: str, reasons: Iterable[str]) -> list[str]:
    kinds: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for reason in reasons:
        kind = PARTICULARS.sub("…", reason)
        kinds[kind] += 1
        examples.setdefault(kind, reason)
    lines = [f"  {count} {what}: {examples[kind]}" for kind, count in kinds.most_common(REASONS_SHOWN)]
    return [*lines, f"  and {len(kinds) - REASONS_SHOWN} reasons more"] if len(kinds) > REASONS_SHOWN else lines


def _by_log(origins: Iterable[tuple[Path, Record]]) -> list[str]:
    """A line per shard; runs without one are told apart by their machine and process."""
    counts: dict[str, Counter[Outcome]] = {}
    for (path, outcome), count in Counter((path, record.outcome) for path, record in origins).items():
        shard = SHARD.match(path.name)
        name = f"shard {int(shard[1]):>3}/{shard[2]}" if shard else path.stem if path.suffix == SUFFIX else "older"
        counts.setdefault(name, Counter())[outcome] += count
    return [
        f"  {name}: " + ", ".join(f"{count[outcome]} {outcome.value}" for outcome in Outcome)
        for name, count in sorted(counts.items())
    ]
