"""Many sources in one command: a run for each, in a folder of its own, by several processes or a Dask cluster.

    cut3r run videos/*.mp4 --output_dir out --workers 2     out/kitchen/..., out/hall/..., and out/kitchen.log, ...

Each run is a program of its own, so one that dies takes no other with it. The same command goes on: what is finished
is left alone, what was stopped or killed is resumed, what has failed is tried again. Machines may share the folder.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from cut3r.files.disk import DiskFullError, is_disk_full
from cut3r.io.images import is_image
from cut3r.jobs.claims import Claims
from cut3r.jobs.job import Job
from cut3r.jobs.progress import Tally
from cut3r.jobs.record import Done, Record
from cut3r.jobs.runner import JobRun
from cut3r.jobs.workers import open_dask, open_workers
from cut3r.run.console import FAILED, start_logging
from cut3r.run.output_check import MARKER, RESUME_FILES
from cut3r.run.output_folder import LOCK, RunState, read_marker
from cut3r.run.stop import PARENT

logger = logging.getLogger(__name__)

CLAIMS = ".claims"
FORMER_S = 120.0
GPU = "GPU"  # the resource of Dask workers that have one: dask worker --resources GPU=1
SOURCE = Path(__file__).parents[2]  # where a child finds this package
OWN = {"sources", "seq_path", "output_dir", "save", "export", "no_viewer", "resume", "workers", "dask", "host", "port"}


@dataclass(frozen=True)
class BatchRun:
    """One of the runs. `words` are those of `cut3r run`, without --resume; `log` gets all that it says."""

    words: tuple[str, ...]
    folder: Path
    log: Path
    place: Path  # the working folder
    overwrite: bool

    def __call__(self) -> Done:
        """Do it, or go on with it.

        Raises:
            ValueError: It has failed: the last line of its log.
            DiskFullError: There is no room for the log, or the run said so.
        """
        self._wait_for_former()
        words = [sys.executable, "-m", "cut3r", "run", *self.words, *self.resume_flag()]
        paths = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), PARENT: "1"}
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with (
            self.log.open("ab") as log,
            subprocess.Popen(
                words,
                stdout=log,
                stderr=log,
                stdin=subprocess.PIPE,  # closed by the system if this process is killed, which ends the run
                cwd=self.place,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches it once, from here
            ) as child,
        ):
            code = _wait(child)
        if code == 0:
            after = read_marker(self.folder / MARKER)
            return Done(remark="" if after is None else f"{after.frames} frames")
        reason = self._last_line() or f"exit code {code}"
        if is_disk_full(OSError(reason), self.folder.parent):
            raise DiskFullError(self.folder.parent)
        raise ValueError(f"{reason} (all of it: {self.log})")

    def _wait_for_former(self) -> None:
        """A run whose worker was killed finishes its frame, and saves what it has. Of another's the new run says so."""
        if (self.folder / LOCK).is_file():
            with suppress(Timeout), FileLock(self.folder / LOCK, timeout=FORMER_S):
                pass

    def resume_flag(self) -> list[str]:
        """--resume where a run was stopped and left a state. Live sources, --moving and --panorama leave none."""
        marker = read_marker(self.folder / MARKER)
        stopped = marker is not None and marker.state is not RunState.finished
        left = any((self.folder / name).is_file() for name in RESUME_FILES)
        return ["--resume"] if stopped and left and not self.overwrite else []

    def is_due(self) -> bool:
        if self.overwrite:
            return True
        marker = read_marker(self.folder / MARKER)
        return marker is None or marker.state is not RunState.finished

    def _last_line(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def run_batch(args: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Do what the flags say for each source; gives the exit code.

    Raises:
        FileNotFoundError: A source is not there.
        ValueError: Sources that are pictures of one scene, or of one name; files of all runs at one place; no cluster.
    """
    start_logging()
    runs = {name: _run_of(args, parser, name, source) for name, source in named(check_sources(args.sources)).items()}
    due = {name: run for name, run in runs.items() if run.is_due()}
    if len(due) < len(runs):
        logger.info("%d of %d are finished already (--overwrite makes them anew)", len(runs) - len(due), len(runs))
    jobs = [Job(name, run) for name, run in due.items()]
    tally, failed = Tally(jobs), 0
    with ExitStack() as stack:
        executor: Executor | None = None
        if args.dask is not None:
            executor = stack.enter_context(open_dask(args.dask, resource=GPU))
        claims = stack.enter_context(Claims(Path(args.output_dir) / CLAIMS))
        workers = stack.enter_context(open_workers(args.workers, executor))

        def is_due(job: Job, *, look: bool) -> bool:
            return not look or due[job.name].is_due()

        for record in JobRun(jobs, claims, workers, keep=_forget, is_due=is_due, tally=tally, stop_after=0):
            failed += record.failed
            logger.log(logging.WARNING if record.failed else logging.INFO, "%s", tally.line(record))
    logger.info("%d of %d are finished, in %s", len(runs) - failed, len(runs), args.output_dir)
    return FAILED if failed else 0


def check_sources(sources: Sequence[str]) -> Sequence[str]:
    """See that each is a scene of its own, and there.

    Raises:
        FileNotFoundError: One is not there.
        ValueError: They are pictures.
    """
    for source in sources:
        if not _is_elsewhere(source) and not Path(source).exists():
            raise FileNotFoundError(f"there is no {source}; nothing was begun")
    pictures = [source for source in sources if Path(source).is_file() and is_image(Path(source))]
    if len(pictures) > 1:
        raise ValueError(
            f"{pictures[0]} and {len(pictures) - 1} more are pictures, and each would become a run of its own; name "
            "their folder, or quote the pattern ('photos/*.jpg'), for one run of all"
        )
    return sources


def named(sources: Sequence[str]) -> dict[str, str]:
    """Name each source by its file, or by that and its folder if others are called so, too.

    Raises:
        ValueError: Two still have one name.
    """
    paths = {source: PurePosixPath(source.rstrip("/").replace(os.sep, "/")) for source in sources}
    short = {source: _plain(path) for source, path in paths.items()}
    names = {
        source: f"{paths[source].parent.name}_{name}" if list(short.values()).count(name) > 1 else name
        for source, name in short.items()
    }
    if len(set(names.values())) < len(sources):
        twice = next(name for name in names.values() if [names[source] for source in sources].count(name) > 1)
        raise ValueError(f"two sources would both be written to a folder {twice}; run them by themselves")
    return {name: source for source, name in names.items()}


def flags_of(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Iterator[str]:
    """The flags that are not as they are by themselves, as words; without those that a batch sets for each run."""
    for action in parser._actions:
        value = getattr(args, action.dest, action.default)
        if action.dest in OWN or not action.option_strings or value == action.default:
            continue
        flag = max(action.option_strings, key=len)
        if value is True:
            yield flag
        else:
            yield f"{flag}={value}"


def _run_of(args: argparse.Namespace, parser: argparse.ArgumentParser, name: str, source: str) -> BatchRun:
    folder = Path(args.output_dir) / name
    words = [f"--seq_path={source}", f"--output_dir={folder}", "--no-viewer", *flags_of(parser, args)]
    words += [f"--save={_inside(folder, word, '--save')}" for word in args.save]
    for word in args.export:
        kind, _, place = word.partition(":")
        words.append(f"--export={kind}:{_inside(folder, place, '--export')}")
    return BatchRun(tuple(words), folder, folder.with_name(f"{name}.log"), Path.cwd(), args.overwrite)


def _inside(folder: Path, place: str, flag: str) -> str:
    if "/" in place.rstrip("/") or os.sep in place.rstrip(os.sep):
        raise ValueError(
            f"{flag} {place} is one place for all runs; name it without a folder, and each run has one of its own"
        )
    return f"{folder / place.rstrip('/')}{'/' if place.endswith('/') else ''}"


def _plain(path: PurePosixPath) -> str:
    stem = path.name if Path(str(path)).is_dir() else path.stem
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in stem) or "run"


def _is_elsewhere(source: str) -> bool:
    return "://" in source or source.startswith("camera:") or any(letter in source for letter in "*?[")


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Wait for a run to end. Ctrl-C is passed on, and waits until the run has saved what it has."""
    try:
        return child.wait()
    except BaseException:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            child.wait()
        raise


def _forget(record: Record) -> None:
    """What a run has done stands in its folder."""
