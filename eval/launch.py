"""A run, done by who takes part: this process, those of a launcher, workers, a cluster; the first puts it together."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from rich.console import Console

from cut3r.jobs.workers import Workers
from cut3r.run.progress import Progress
from cut3r.speed.device import check_device
from cut3r.weights.zoo import sha256
from eval.build import make_run
from eval.clock import cost_text
from eval.config import EvalConfig, Stage
from eval.lengths import prefixes, require_lengths
from eval.predicting import is_predicted, missing_parts
from eval.reference_files import write_reference_files
from eval.run import EvaluationRun
from eval.settings import WrongSettingsError
from eval.share import open_pool, share
from eval.tables import summary_table

logger = logging.getLogger(__name__)

SEQUENCES_FAILED, WRONG_SETTINGS = 1, 2


def evaluate(protocol: str, config: EvalConfig) -> int:
    """Run one protocol on one set, this process's share of it; the first process puts everything together."""
    try:
        with open_pool(config) as pool:
            processes = start(config, pool)
            require_lengths(protocol, config)
            run = make_run(protocol, config, processes.device, digest=partial(shared_digest, processes.state))
            return perform(run, protocol, config, processes)
    except (ValueError, FileNotFoundError) as error:
        raise WrongSettingsError(str(error)) from error


@dataclass(frozen=True)
class Processes:
    """Who takes part: the processes that a launcher has started, or this one with or without a pool of workers.

    Attributes:
        device: Of this process; with a pool the CPU, because the workers have the networks.
    """

    state: PartialState
    device: torch.device
    pool: Workers | None = None


def start(config: EvalConfig, pool: Workers | None = None) -> Processes:
    """Join the processes of a launcher, if there is one.

    Raises:
        ValueError: The device is not there, or a launcher's processes are to have workers.
    """
    device = check_device(config.device)
    # scoring may take long, and unequally long
    state = PartialState(cpu=device.type == "cpu", timeout=timedelta(days=7))
    if pool is not None:
        if state.num_processes > 1:
            raise ValueError("workers and dask are for a command of one process; leave them out, or the launcher")
        return Processes(state, torch.device("cpu"), pool)
    return Processes(state, state.device if state.num_processes > 1 else device)  # one GPU for each process


def perform(run: EvaluationRun, protocol: str, config: EvalConfig, processes: Processes) -> int:
    """Do this process's share of a run; the first process puts everything together.

    Raises:
        ValueError: The folder holds a run of other settings.
    """
    state = processes.state
    # long sequences first, so that no process is left with one at the end
    longest_first = sorted(run.sequences, key=lambda sequence: (-len(sequence), sequence.name))
    console = Console(stderr=True, quiet=not state.is_main_process)
    run = replace(run, share=longest_first[state.process_index :: state.num_processes])
    nothing_yet = config.stage is Stage.predict and not config.loops
    shorter = [] if nothing_yet else prefixes(run, config.lengths, anew=config.loops)
    of_shorter = config.stage if config.loops else Stage.score
    if state.is_main_process:
        for each in (run, *shorter):
            each.begin(overwrite=config.overwrite)
    state.wait_for_everyone()
    if processes.pool is not None:
        share(run, protocol, config, processes.pool)
    elif state.num_processes > 1 and run.system is not None and config.stage is not Stage.score:
        parts = missing_parts(run.folder, run.protocol, longest_first)[state.process_index :: state.num_processes]
        state.wait_for_everyone()  # else a fast process changes what a slow one finds missing
        with Progress(console, sum(len(part) for _, part in parts)) as progress:
            replace(run, tick=progress.advance).work_on_parts(parts)
        state.wait_for_everyone()
    left = 0 if processes.pool is not None else frames_left(run, config.stage)
    left += sum(frames_left(each, of_shorter) for each in shorter)
    if left:
        with Progress(console, left) as progress:
            if processes.pool is None:
                replace(run, tick=progress.advance).work(config.stage)
            for each in shorter:
                replace(each, tick=progress.advance).work(of_shorter)
    state.wait_for_everyone()
    return finish(config, run, shorter) if state.is_main_process else 0


def shared_digest(state: PartialState, path: Path) -> str:
    """The SHA-256 of a file of gigabytes, which the first process reads for all."""
    found = [sha256(path) if state.is_main_process else ""]
    return str(broadcast_object_list(found)[0]) if state.num_processes > 1 else found[0]


def frames_left(run: EvaluationRun, stage: Stage) -> int:
    """Count the frames of this process that the system has not seen, and those that are not scored."""
    predict = [] if stage is Stage.score or not run.system else run.mine
    score = [] if stage is Stage.predict else run.mine
    left = [each for each in predict if not is_predicted(run.folder, each)]
    left += [each for each in score if not run.is_scored(each)]
    return sum(map(len, left))


def finish(config: EvalConfig, run: EvaluationRun, shorter: Sequence[EvaluationRun] = ()) -> int:
    if config.stage is Stage.predict:
        missing = run.not_predicted()
        print(f"{len(run.sequences) - len(missing)} of {len(run.sequences)} sequences predicted")
        for name, reason in missing.items():
            print(f"FAILED: {name} ({reason})")
        print(f"predictions are in {run.folder}; score them with the same command and stage=score")
        return SEQUENCES_FAILED if missing else 0
    result = run.finish()
    if config.parity:
        write_reference_files(run, config.dataset, result)
    failed = bool(result["coverage"]["failed"])
    for each in shorter:
        of_length = each.finish()
        failed |= bool(of_length["coverage"]["failed"])
        print(f"{each.dataset}:\n{summary_table(of_length)}\n")
    print(summary_table(result))
    if cost := cost_text(result["cost"]):
        print(cost)
    print(f"\nwrote {run.folder}; for the report: python -m eval.report {run.folder}")
    return SEQUENCES_FAILED if failed else 0
