"""Command lines of the four protocols: settings become a run, its sequences are divided among the processes.

python -m eval.video_depth dataset=sintel weights=512-dpt
accelerate launch --num_processes 8 -m eval.video_depth dataset=sintel weights=512-dpt
"""

import logging
import os
import sys
from dataclasses import replace
from datetime import timedelta

import hydra
from accelerate import PartialState
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, SCMode
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from cut3r.run.progress import Progress
from cut3r.speed.device import check_device
from cut3r.training.config import build, explain
from cut3r.training.overrides import quote_text_settings
from eval.clock import cost_text
from eval.config import EvalConfig
from eval.evaluate import ROOT, EvaluationRun, Stage, is_predicted
from eval.reference import write_reference_files
from eval.setup import make_run
from eval.tables import summary_table

logger = logging.getLogger(__name__)

CONFIGS = ROOT / "configs" / "eval"
SEQUENCES_FAILED, WRONG_SETTINGS = 1, 2


class WrongSettingsError(Exception):
    """Something that the user can put right before the first frame."""


def main(protocol: str) -> None:
    """Run a protocol with the settings of configs/eval and of the command line; ends the program.

    Exit status: 0 all sequences are scored or left out by the protocol, 1 some failed, 2 wrong settings.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors through, to be explained here
    ConfigStore.instance().store(name="schema", node=EvalConfig)
    status = 0

    def run(config: DictConfig) -> None:
        nonlocal status
        try:
            status = evaluate(protocol, settings(config))
        except WrongSettingsError as error:  # here, because Hydra would print a line of its own
            status = _refuse(protocol, str(error))

    try:
        sys.argv[1:] = quote_text_settings(sys.argv[1:], EvalConfig)
    except ValueError as error:
        sys.exit(_refuse(protocol, str(error)))
    try:
        hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=protocol)(run)()
    except (HydraException, OmegaConfBaseException) as error:
        status = _refuse(protocol, explain(error, EvalConfig))
    sys.exit(status)


def _refuse(protocol: str, reason: str) -> int:
    print(f"eval.{protocol}: {reason}", file=sys.stderr)
    return WRONG_SETTINGS


def settings(config: DictConfig) -> EvalConfig:
    """Make the merged YAML real."""
    plain = OmegaConf.to_container(config, resolve=True, structured_config_mode=SCMode.DICT)
    try:
        made: EvalConfig = build(EvalConfig, plain)
    except ValueError as error:
        raise WrongSettingsError(str(error)) from error
    return made


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
        run = make_run(protocol, config, device)
        # long sequences first, so that no process is left with one at the end
        longest_first = sorted(run.sequences, key=lambda sequence: (-len(sequence), sequence.name))
        run = replace(run, share=longest_first[state.process_index :: state.num_processes])
        if state.is_main_process:
            run.begin(overwrite=config.overwrite)
        state.wait_for_everyone()
    except (ValueError, FileNotFoundError) as error:
        raise WrongSettingsError(str(error)) from error
    with Progress(console, frames_left(run)) as progress:
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
    if cost := cost_text(result["cost"]):
        print(cost)
    print(f"\nwrote {run.folder}; for the report: python -m eval.report {run.folder}")
    return SEQUENCES_FAILED if result["coverage"]["failed"] else 0
