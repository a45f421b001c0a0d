"""python -m eval all: every protocol on every set that is on the disk, into one folder, for one report."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from eval.build import RESULTS, Subject, combine, folder_name, open_sequences, open_subject, set_label
from eval.config import EvalConfig
from eval.launch import SEQUENCES_FAILED, Processes, perform, shared_digest, start
from eval.lengths import require_lengths
from eval.run import OtherRunError
from eval.sequences import SETS, Sequence
from eval.settings import WrongSettingsError
from eval.share import open_pool

EVERY_SET = "all"


@dataclass(frozen=True)
class Planned:
    """A protocol on a set; `skipped` says why there is nothing to run."""

    protocol: str
    config: EvalConfig
    sequences: tuple[Sequence, ...] = ()
    skipped: str = ""

    @property
    def title(self) -> str:
        return f"{self.protocol} on {self.config.dataset}"


def evaluate_all(config: EvalConfig) -> int:
    """Run what there is; say what is skipped, and why.

    Returns:
        The exit status: 0 what is on the disk is scored, 1 some of it failed.

    Raises:
        WrongSettingsError: There is nothing to run, or not what runs.
    """
    try:
        if config.ways:
            raise ValueError("ways are for one protocol, such as python -m eval relpose; leave them out here")
        with open_pool(config) as pool:
            processes = start(config, pool)
            plan = list(planned(config))
            if all(each.skipped for each in plan):
                raise ValueError("there is nothing to run: " + "; ".join(_reasons(plan)))
            subject = open_subject(config, processes.device, digest=partial(shared_digest, processes.state))
            folder = config.out or RESULTS / f"all_{folder_name(subject.label)}"
            said = [_run(each, subject, folder, processes) for each in plan]
    except (ValueError, FileNotFoundError) as error:
        raise WrongSettingsError(str(error)) from error
    if processes.state.is_main_process:
        skipped = _reasons(each for each, _ in said)
        print("\n".join(["", *(f"skipped: {reason}" for reason in skipped)]))
        print(f"{len(plan) - len(skipped)} runs; for the report: python -m eval.report {folder}")
    return max(status for _, status in said)


def planned(config: EvalConfig) -> Iterator[Planned]:
    """Open every set that a protocol has, or the one that the settings name."""
    for protocol, sets in SETS.items():
        for dataset in sets if config.dataset == EVERY_SET else (config.dataset,):
            one = replace(config, dataset=dataset)
            try:
                require_lengths(protocol, one)
                yield Planned(protocol, one, tuple(open_sequences(protocol, one)))
            except (ValueError, FileNotFoundError) as error:
                yield Planned(protocol, one, skipped=str(error))


def _run(plan: Planned, subject: Subject, folder: Path, processes: Processes) -> tuple[Planned, int]:
    """Do one of the runs; give it as it went, and the exit status of its own command."""
    if plan.skipped:
        return plan, 0
    if processes.state.is_main_process:
        print(f"\n{plan.title}\n")
    config = replace(plan.config, out=folder / f"{plan.protocol}_{set_label(plan.config)}")
    try:
        run = combine(plan.protocol, config, list(plan.sequences), subject)
        return plan, perform(run, plan.protocol, config, processes)
    except OtherRunError as error:
        return replace(plan, skipped=str(error)), SEQUENCES_FAILED
    except ValueError as error:  # the subject is silent about what is scored
        return replace(plan, skipped=str(error)), 0


def _reasons(plan: Iterator[Planned] | list[Planned]) -> list[str]:
    return [f"{each.title}: {each.skipped}" for each in plan if each.skipped]
