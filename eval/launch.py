"""A run, done by who takes part: this process, those of a launcher, workers, a cluster; the first puts it together."""

import logging
from dataclasses import dataclass, replace
from datetime import timedelta

import torch
from accelerate import PartialState
from rich.console import Console

from cut3r.jobs.workers import Workers
from cut3r.run.progress import Progress
from cut3r.speed.device import check_device
from eval.build import make_run
from eval.config import EvalConfig, Stage
from eval.reference_files import write_reference_files
from eval.run import EvaluationRun, is_predicted
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
            run = make_run(protocol, config, processes.device)
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
    run = replace(run, share=longest_first[state.process_index :: state.num_processes])
    if state.is_main_process:
        run.begin(overwrite=config.overwrite)
    state.wait_for_everyone()
    if processes.pool is not None:
        share(run, protocol, config, processes.pool)
    else:
        with Progress(Console(stderr=True, quiet=not state.is_main_process), frames_left(run)) as progress:
            replace(run, tick=progress.advance).work(config.stage)
    state.wait_for_everyone()
    return finish(config, run) if state.is_main_process else 0


def frames_left(run: EvaluationRun) -> int:
    """Count the frames of this process that the system has not seen."""
    return sum(len(each) for each in run.mine if run.system and not is_predicted(run.folder, each))


def finish(config: EvalConfig, run: EvaluationRun) -> int:
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
    print(summary_table(result))
    print(f"\nwrote {run.folder}; for the report: python -m eval.report {run.folder}")
    return SEQUENCES_FAILED if result["coverage"]["failed"] else 0
