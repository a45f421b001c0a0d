"""A run on this machine: its sequences are divided among the processes of a launcher, the first puts them together."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from rich.console import Console

from cut3r.run.progress import Progress
from cut3r.speed.device import check_device
from cut3r.weights.zoo import sha256
from eval.build import make_run
from eval.clock import cost_text
from eval.config import EvalConfig, Stage
from eval.lengths import prefixes, require_lengths
from eval.reference_files import write_reference_files
from eval.run import EvaluationRun, is_predicted
from eval.settings import WrongSettingsError
from eval.tables import summary_table

logger = logging.getLogger(__name__)

SEQUENCES_FAILED, WRONG_SETTINGS = 1, 2


def evaluate(protocol: str, config: EvalConfig) -> int:
    """Run one protocol on one set, this process's share of it; the first process puts everything together."""
    try:
        device = check_device(config.device)
    except ValueError as error:
        raise WrongSettingsError(str(error)) from error
    # scoring may take long, and unequally long
    state = PartialState(cpu=device.type == "cpu", timeout=timedelta(days=7))
    device = state.device if state.num_processes > 1 else device  # one GPU for each process
    console = Console(stderr=True, quiet=not state.is_main_process)
    try:
        require_lengths(protocol, config)
        run = make_run(protocol, config, device, digest=partial(shared_digest, state))
        # long sequences first, so that no process is left with one at the end
        longest_first = sorted(run.sequences, key=lambda sequence: (-len(sequence), sequence.name))
        run = replace(run, share=longest_first[state.process_index :: state.num_processes])
        shorter = [] if config.stage is Stage.predict else prefixes(run, config.lengths)
        if state.is_main_process:
            for each in (run, *shorter):
                each.begin(overwrite=config.overwrite)
        state.wait_for_everyone()
    except (ValueError, FileNotFoundError) as error:
        raise WrongSettingsError(str(error)) from error
    left = frames_left(run, config.stage) + sum(frames_left(each, Stage.score) for each in shorter)
    with Progress(console, left) as progress:
        replace(run, tick=progress.advance).work(config.stage)
        for each in shorter:
            replace(each, tick=progress.advance).work(Stage.score)
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
