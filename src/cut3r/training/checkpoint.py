"""Interrupt a training anywhere and go on as if nothing had happened.

A run's folder `checkpoints/` holds `step-00001200.pt` (everything that the training needs to continue, read without
trusting it), and beside them weights alone in our own format, which `cut3r.load` reads: `best.safetensors`,
`epoch-0010.safetensors`, `final.safetensors`. Files appear completely or not at all.
"""

import json
import logging
import pickle
import random
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from cut3r.files.atomic import atomic_path
from cut3r.files.listing import visible
from cut3r.model.network import Cut3r
from cut3r.training.guidance import Guidance
from cut3r.training.lora import LoraConfig, merge_factors
from cut3r.training.optim import Together, WeightAverage
from cut3r.training.parallel import collect, everyone, fill
from cut3r.weights.checkpoint import config_to_json, export_official, save

logger = logging.getLogger(__name__)

T = TypeVar("T")

FORMAT, VERSION = "cut3r training", 1
GUIDANCE = "guidance"  # begins the names of its weights; they are in states, never in files of weights
PARTS = {"config", "progress", "model", "optimizer", "average", "scaler", "random"}


class DamagedStateError(ValueError):
    """A file of a state that a full disk, a copy that broke off or a power failure has left behind."""


@dataclass
class Progress:
    """Where a training stands.

    `iteration` counts the batches of this epoch that each process has learned from, `epoch_samples` their samples on
    all processes, `samples` those since the beginning; `step` the optimizer steps since the beginning, `bad_steps` the
    skipped iterations in a row and `skipped` all of them. `seconds` is the time spent, with validations, over all
    starts of the run.
    """

    epoch: int = 0
    iteration: int = 0
    processes: int = 1
    batch_size: int = 0  # on each process; 0: unknown, in states of earlier versions
    epoch_samples: int = 0
    samples: int = 0
    step: int = 0
    bad_steps: int = 0
    skipped: int = 0
    best: float = float("inf")
    seconds: float = 0.0

    def place(self, *, batch_size: int, processes: int, accumulate: int) -> None:
        """Count on in the batches of another size or number of processes, from the first sample not yet seen.

        Rounded down to a whole step: the samples of one step may be seen again, none is left out.
        """
        known = self.batch_size or batch_size
        if (known, self.processes) != (batch_size, processes):
            logger.warning(
                "the training had %d processes with batches of %d and continues on %d with batches of %d",
                *(self.processes, known, processes, batch_size),
            )
            seen = self.epoch_samples or self.iteration * self.processes * known
            self.iteration = seen // (processes * batch_size) // accumulate * accumulate
            self.epoch_samples = self.iteration * processes * batch_size
        self.batch_size, self.processes = batch_size, processes


@dataclass
class Trained:
    """The parts of a training that change as it goes on."""

    model: Cut3r
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    average: WeightAverage | None
    progress: Progress
    guidance: Guidance | None = None
    lora: LoraConfig = field(default_factory=LoraConfig)

    def parameters(self) -> list[tuple[str, Tensor]]:
        """The trainable parameters by name, those of the guidance included."""
        named = list(self.model.named_parameters())
        if self.guidance is not None:
            named += self.guidance.named_parameters(prefix=GUIDANCE)
        return [(name, value) for name, value in named if value.requires_grad]


def write_state(trained: Trained, folder: Path, accelerator: Accelerator, *, keep: int) -> Path:
    """Write the state of a training, then delete all but the newest `keep` of them. All processes call this.

    Only the first process holds a copy of it meanwhile: with one process per GPU, eight copies would fill a machine.
    """
    path = folder / f"step-{trained.progress.step:08d}.pt"
    average, state = trained.average, trained.optimizer.state
    content = {
        "format": FORMAT,
        "version": VERSION,
        "config": config_to_json(trained.model.config),
        "progress": asdict(trained.progress),
        "lora": asdict(trained.lora),
        "model": collect(trained.model.state_dict(), accelerator),
        "guidance": {} if trained.guidance is None else collect(trained.guidance.state_dict(), accelerator),
        "optimizer": {n: collect(state[value], accelerator) for n, value in trained.parameters() if value in state},
        "average": None if average is None else collect(average.weights, accelerator),
        "scaler": trained.scaler.state_dict(),
        "random": everyone(random_state(), accelerator),
    }
    if accelerator.is_main_process:
        with atomic_path(path) as temporary:
            torch.save(content, temporary)
        # Later ones are damaged, or of a training that was left: they must not push out what is whole.
        for old in [state for state in states(folder) if state <= path][:-keep]:
            old.unlink()
    accelerator.wait_for_everyone()
    return path


def states(folder: Path) -> list[Path]:
    """List the states in a folder, the newest last."""
    return visible(folder, "step-*.pt")


def latest_state(folder: Path) -> Path | None:
    """Return the newest state in a folder, None if there is none."""
    return max(states(folder), default=None)


def read_latest_state(trained: Trained, folder: Path, accelerator: Accelerator) -> bool:
    """Continue from the newest whole state in a folder, in place; damaged ones are warned of and passed over.

    Returns:
        Whether there is a state.

    Raises:
        ValueError: All of them are damaged; or the newest whole one is of another network.
    """
    newest_damage = None
    for path in reversed(states(folder)):
        damage = _read_if_whole(trained, path, accelerator)
        if damage is None:
            return True
        newest_damage = newest_damage or damage
    if newest_damage is not None:
        raise ValueError(f"{newest_damage}; no other state in {folder} is whole, so delete them to start anew")
    return False


def read_state(trained: Trained, path: Path, accelerator: Accelerator) -> None:
    """Continue from a state, in place.

    Raises:
        FileNotFoundError: No such file.
        DamagedStateError: It is empty, cut off or unreadable.
        ValueError: It is no state of a training, or of another network.
    """
    content = _read(path)
    if content["config"] != config_to_json(trained.model.config):
        raise ValueError(
            f"{path} is a training of another network ({_differences(content['config'], trained.model)}); continue "
            "with its model settings, or start anew in another run.output_dir with run.pretrained"
        )
    _require_same_factors(trained.lora, content.get("lora", {}), path)
    for name, entry in trained.model.state_dict().items():
        fill(entry, content["model"][name])
    guided = _fill_guidance(trained, content.get("guidance", {}))
    _fill_optimizer(trained, _without_guidance(content["optimizer"], unless=guided), path)
    if trained.average is not None:
        source = content["model"] | (content["average"] or {})  # it, or parts of it, were switched on in between
        for name, value in trained.average.weights.items():
            if name in source:
                fill(value, source[name])
    trained.scaler.load_state_dict(content["scaler"])
    vars(trained.progress).update(content["progress"])
    if accelerator.process_index < len(content["random"]):
        set_random_state(content["random"][accelerator.process_index])
    logger.info("continuing from %s", path)


def _read_if_whole(trained: Trained, path: Path, accelerator: Accelerator) -> DamagedStateError | None:
    try:
        read_state(trained, path, accelerator)
    except DamagedStateError as error:
        logger.warning("%s; an older one is taken if there is any", error)
        return error
    return None


def write_weights(trained: Trained, path: Path, accelerator: Accelerator, *, official: bool = False) -> None:
    """Write the network alone, with averaged weights if there are any, and with factors of LoRA added to the matrices
    that they correct; all processes call this.

    Args:
        official: Write a second file under the official names, in the format of the original code, beside it.
    """
    averaged = {} if trained.average is None else _without_guidance(trained.average.weights)
    entries = collect({**trained.model.state_dict(), **averaged}, accelerator)
    if accelerator.is_main_process:
        with torch.device("meta"):
            model = Cut3r(trained.model.config)
        model.load_state_dict(merge_factors(entries, trained.lora), assign=True)
        save(model, path)
        if official:
            export_official(model, path.with_suffix(".pth"))
    accelerator.wait_for_everyone()


def random_state() -> dict[str, Any]:
    """The generators of Python, NumPy and PyTorch, in containers that can be read back without trust."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def set_random_state(state: dict[str, Any]) -> None:
    kind, keys, position, has_gauss, gauss = state["numpy"]
    random.setstate(state["python"])
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _fill_guidance(trained: Trained, entries: dict[str, Tensor]) -> bool:
    """Continue with the guidance's own weights, if the losses are the same; otherwise they begin anew."""
    if trained.guidance is None:
        return False
    places = trained.guidance.state_dict()
    if entries.keys() != places.keys():
        return False
    for name, place in places.items():
        fill(place, entries[name])
    return True


def _without_guidance(entries: dict[str, T], *, unless: bool = False) -> dict[str, T]:
    return {name: entry for name, entry in entries.items() if unless or not name.startswith(f"{GUIDANCE}.")}


def _require_same_factors(ours: LoraConfig, theirs: dict[str, Any], path: Path) -> None:
    there = LoraConfig(**theirs)
    if (ours.is_on or there.is_on) and ours != there:
        raise ValueError(
            f"{path} was trained with {_lora(there)}, and now there is {_lora(ours)}; set run.lora as it was, or start "
            "anew in another run.output_dir with run.pretrained and one of the weight files"
        )


def _lora(config: LoraConfig) -> str:
    return f"LoRA of rank {config.rank}, alpha {config.alpha:g} on {config.targets}" if config.is_on else "no LoRA"


def _fill_optimizer(trained: Trained, entries: dict[str, dict[str, Tensor]], path: Path) -> None:
    names = {name for name, _ in trained.parameters()}
    if not entries.keys() <= names:
        raise ValueError(
            f"{path} was trained with other frozen parts: {min(entries.keys() - names)} learned then and does not now; "
            "set run.freeze and run.train_only as they were"
        )
    by_muon = any("momentum_buffer" in entry for entry in entries.values())
    if entries and by_muon is not isinstance(trained.optimizer, Together):
        raise ValueError(
            f"{path} was trained with optim.kind={'muon' if by_muon else 'adamw'}; set it as it was, or start anew in "
            "another run.output_dir with run.pretrained"
        )
    for name, parameter in trained.parameters():
        if name not in entries:
            continue
        places = trained.optimizer.state[parameter]
        for key, value in entries[name].items():
            if key == "step":
                places[key] = value.to(parameter.device, copy=True)  # where the fused optimizer wants it
            else:
                places[key] = torch.zeros_like(parameter)
                fill(places[key], value)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no training state {path}; give a step-*.pt file, or null to start anew")
    try:
        _require_whole(path)
        # mapped: the processes of a machine share the pages of the file, and what is not needed is not read
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise DamagedStateError(f"{path} cannot be read as a state of a training ({reason[0]})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is no state of a training; to begin with a network's weights use run.pretrained")
    if content["version"] != VERSION:
        raise ValueError(f"{path} has version {content['version']} of our format, and this code reads {VERSION}")
    if missing := PARTS - content.keys():
        raise DamagedStateError(f"{path} lacks {', '.join(sorted(missing))}")
    return content


def _require_whole(path: Path) -> None:
    """Compare the checksums inside the file, which torch.load does not: a hole of zeros would become weights."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")


def _differences(config: str, model: Cut3r) -> str:
    theirs, ours = json.loads(config), json.loads(config_to_json(model.config))
    return ", ".join(f"{key}: {theirs[key]} there, {ours[key]} here" for key in ours if theirs.get(key) != ours[key])
