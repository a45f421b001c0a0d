"""What is written when scenes are done: files that span scenes, dataset.json, and the index of the reader."""

import logging
from dataclasses import dataclass
from pathlib import Path

from cut3r.data.dataset import NoScenesError
from cut3r.data.made import CENTRE, CORNER, Made, write_made
from cut3r.data.processed import ALL, INDEX
from cut3r.files.locks import exclusive
from cut3r.files.packed_path import require_plain
from cut3r.jobs.log import read_records
from cut3r.jobs.record import Record, Rule
from datasets_preprocess.converter import Converter
from datasets_preprocess.plan import STATUS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finished:
    """How many scenes went into the files, and of how many the records say another version, parity or options."""

    scenes: int
    outdated: int

    def __str__(self) -> str:
        text = f"finished with {self.scenes} scenes"
        return f"{text}; {self.outdated} others are out of date; convert them again" if self.outdated else text


def finish(converter: Converter, out: Path, rule: Rule | None = None, *, changed: bool = True) -> Finished:
    """Write what spans scenes, from all records that are there now; one process at a time, so the last knows all.

    Args:
        rule: Whose scenes to take; None takes that of the newest record.
        changed: Whether scenes may have other frames than before; without, an index that is up to date stays.

    Raises:
        ValueError: The folder is packed.
        RuntimeError: It could not be written; the message names the file.
    """
    require_plain(out)
    with exclusive(out / STATUS / "finish.lock"):
        records = [record for record in read_records(out / STATUS, with_frames=converter.spans_scenes) if record.done]
        rule = rule or _newest_rule(converter, records)
        current = [record for record in records if record.follows(rule)]
        try:
            converter.finish(out, current)
            if current:
                write_made(out, made_by(converter, rule))
                make_index(converter, out, anew=changed)
        except Exception as error:  # whatever it is, scenes are converted and recorded; they are not lost by this
            raise RuntimeError(
                f"what spans the scenes of {converter.name} was not written ({type(error).__name__}: {error}); repair "
                f"that, then: python -m datasets_preprocess finish {converter.name} --out {out}"
            ) from error
    return Finished(len(current), len(records) - len(current))


def made_by(converter: Converter, rule: Rule) -> Made:
    """Say what dataset.json holds. Parity: the principal point is in the convention of the original's converter."""
    corner = rule.parity and converter.reader.card.corner_shift != 0
    return Made(converter.name, converter.version, CORNER if corner else CENTRE, rule.parity)


def _newest_rule(converter: Converter, records: list[Record]) -> Rule:
    of_version = [record for record in records if record.version == converter.version]
    if not of_version:
        return Rule(converter.version)
    newest = max(of_version, key=lambda record: record.finished)
    return Rule(newest.version, newest.parity, newest.options or {})


def make_index(converter: Converter, out: Path, *, anew: bool) -> None:
    """Let the reader list its scenes and keep the list, as it does when a training opens the folder."""
    if anew:  # a scene that was converted again may have other frames, which the index alone does not notice
        (out / INDEX).unlink(missing_ok=True)
    try:
        converter.reader(out, split=ALL, num_views=1, sizes=[(1, 1)])
    except (NoScenesError, FileNotFoundError) as error:  # some readers need a file that no converter makes
        logger.warning("there is no index yet: %s", error)
