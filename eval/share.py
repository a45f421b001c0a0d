"""Sequences shared among worker processes of this machine, or of a Dask cluster, as jobs of `cut3r.jobs`.

A worker opens the set and loads the network once, and keeps them for all of its sequences: one engine per process.
Whoever is killed leaves whole sequences only; a lost worker's sequences are handed out again.
"""

import multiprocessing
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cut3r.jobs.claims import Claims
from cut3r.jobs.job import Job
from cut3r.jobs.progress import Tally
from cut3r.jobs.record import Done, LeftOut, Record
from cut3r.jobs.runner import JobRun
from cut3r.jobs.workers import Workers, open_dask, open_workers
from cut3r.speed.device import check_device
from eval.build import Subject, combine, open_sequences, open_subject
from eval.config import EvalConfig, Stage
from eval.predicting import is_predicted, missing_parts
from eval.run import EvaluationRun, read_outcome, score_path
from eval.sequences.sequence import Sequence
from eval.systems.saved import write_json

CLAIMS = ".claims"
GPU = "GPU"  # the resource by which a Dask cluster marks workers with one: dask worker --resources GPU=1


@dataclass(frozen=True)
class Order:
    """What a worker has to know: settings with absolute paths, what the run says of itself, its share of the cores."""

    protocol: str
    config: EvalConfig
    facts: dict[str, Any]
    threads: int | None


@contextmanager
def open_pool(config: EvalConfig) -> Iterator[Workers | None]:
    """Give the workers that the settings ask for; None if this process does everything.

    Raises:
        ValueError: There is no such cluster.
    """
    with ExitStack() as stack:
        executor: Executor | None = None
        if config.dask is not None:
            executor = stack.enter_context(open_dask(config.dask, resource=GPU))
        if executor is None and config.workers == 1:
            yield None
        else:
            yield stack.enter_context(open_workers(config.workers, executor))


def share(run: EvaluationRun, protocol: str, config: EvalConfig, pool: Workers) -> None:
    """Have the workers predict and score the sequences, long ones first; other runs in the folder share them."""
    threads = max(1, torch.get_num_threads() // config.workers) if config.workers > 1 else None
    order = Order(protocol, with_absolute_paths(config, run.folder), run.facts, threads)
    longest_first = sorted(run.sequences, key=lambda sequence: (-len(sequence), sequence.name))
    jobs = [Job(each.name, partial(work, order, each.name), frames=len(each)) for each in longest_first]
    predicts = run.system is not None and config.stage is not Stage.score
    cut = missing_parts(run.folder, run.protocol, longest_first) if predicts else []
    parts = [_job_of_part(order, *each) for each in cut]
    with Claims(run.folder / CLAIMS) as claims:
        # a part that fails is tried again with its sequence, which says why
        for some, keep in ((parts, _forget), (jobs, partial(note_loss, run.folder))):
            for _ in JobRun(some, claims, pool, keep=keep, is_due=_always, tally=Tally(some), stop_after=0):
                pass


def with_absolute_paths(config: EvalConfig, folder: Path) -> EvalConfig:
    """Name folders so that a worker with another working folder finds them."""
    weights = config.weights
    return replace(
        config,
        out=folder.resolve(),
        root=config.root.resolve(),
        predictions=None if config.predictions is None else config.predictions.resolve(),
        weights=str(Path(weights).resolve()) if weights is not None and Path(weights).is_file() else weights,
    )


def work(order: Order, name: str) -> Done:
    """Predict and score one sequence, in a worker.

    Raises:
        LeftOut: The protocol leaves it out.
        ValueError: It has failed; its score says why, too.
    """
    run = _run_of(order)
    (sequence,) = (each for each in run.sequences if each.name == name)
    replace(run, share=[sequence]).work(order.config.stage)
    outcome = read_outcome(run.folder, name)
    if order.config.stage is Stage.predict and is_predicted(run.folder, sequence):
        outcome = {}
    if "left_out" in outcome:
        raise LeftOut(outcome["left_out"])
    if "failed" in outcome:
        raise ValueError(outcome["failed"].partition(": ")[2] or outcome["failed"])
    return Done(sequence.stems)


def work_on_part(order: Order, name: str, part: range) -> Done:
    """Predict a part of a sequence of many streams, in a worker."""
    run = _run_of(order)
    (sequence,) = (each for each in run.sequences if each.name == name)
    run.predict_part(sequence, part)
    return Done(sequence.stems[part.start : part.stop])


def note_loss(folder: Path, record: Record) -> None:
    """Say of a sequence that has cost its workers why it has no score."""
    if record.failed and "failed" not in read_outcome(folder, record.scene):
        write_json(score_path(folder, record.scene), {"sequence": record.scene, "failed": record.reason})


_open: dict[
    str, tuple[str, Any]
] = {}  # of this process: the newest subject and the newest run, by what they are made of


def _run_of(order: Order) -> EvaluationRun:
    if order.threads is not None:
        torch.set_num_threads(order.threads)
    run: EvaluationRun = _kept("run", repr(order), partial(_make, order))
    return run


def _make(order: Order) -> EvaluationRun:
    config = order.config
    anywhere = replace(config, dataset="any", out=None, overwrite=False)
    subject: Subject = _kept("subject", repr(anywhere), lambda: open_subject(config, worker_device(config.device)))
    run = combine(order.protocol, config, open_sequences(order.protocol, config), subject)
    return replace(run, facts=order.facts)


def _kept(kind: str, key: str, make: Callable[[], Any]) -> Any:
    if kind not in _open or _open[kind][0] != key:
        _open.pop(kind, None)  # first: two networks may not fit
        _open[kind] = key, make()
    return _open[kind][1]


def worker_device(name: str) -> torch.device:
    """The device of this worker; of several GPUs each process of this machine has one, in turn."""
    device = check_device(name)
    number = re.search(r"-(\d+)$", multiprocessing.current_process().name)
    if device.type != "cuda" or device.index is not None or number is None:
        return device
    return torch.device("cuda", (int(number[1]) - 1) % torch.cuda.device_count())


def _job_of_part(order: Order, sequence: Sequence, part: range) -> Job:
    name = f"{sequence.name}, {part.start} to {part.stop}"
    return Job(name, partial(work_on_part, order, sequence.name, part), frames=len(part))


def _forget(record: Record) -> None:
    """Of parts nothing is noted."""


def _always(job: Job, *, look: bool) -> bool:
    """Whether a sequence is finished its worker finds out, from what it is made of."""
    return True
