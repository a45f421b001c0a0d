"""The files that the fuzzing damages, how each is read, and what counts as a good answer.

A good answer is one sentence (ValueError or FileNotFoundError) or something valid, soon.
"""

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import mutations as m
import numpy as np
import torch

from cut3r.inference.reconstruction import Reconstruction
from cut3r.inference.session import Session
from cut3r.io.frames import Frame
from cut3r.model.config import (
    DecoderConfig,
    EncoderConfig,
    HeadKind,
    ModelConfig,
    StateConfig,
    StatePositions,
)
from cut3r.model.network import Cut3r
from cut3r.run.resume import ResumePoint
from cut3r.weights.checkpoint import config_from_json, config_to_json, export_official, load, save
from cut3r.weights.constructor import config_from_constructor, constructor_from_config

DEADLINE_S = 2.0  # processor time for one file
LONGEST_MESSAGE = 1200  # characters; longer than any sentence of ours that names two paths
BUILT_TO_TRY = 40  # blocks; networks that a mutated description asks for and that are built, without memory, to see
SETTINGS = {"--every": "1"}


class Accepted(Exception):
    """Something was accepted that is not valid."""


@dataclass(frozen=True)
class Subject:
    """A file with its ways to be damaged.

    `read` gets a damaged one, and whether the damage was below the level at which a forger could make it fit again.
    """

    name: str
    suffix: str
    original: bytes
    mutations: tuple[m.Mutation, ...]
    read: Callable[[Path, bool], None]


@dataclass(frozen=True)
class Attempt:
    """What became of one damaged file: "refused", "accepted" (and valid), or what must not happen."""

    kind: str
    seed: int
    subject: str
    mutation: str
    outcome: str
    detail: str
    cpu_s: float


def small_config() -> ModelConfig:
    """The real architecture with a block of each kind, as official files can describe it."""
    return ModelConfig(
        head=HeadKind.linear,
        image_size=(16, 32),
        patch_size=4,
        mlp_ratio=1,
        encoder=EncoderConfig(width=64, depth=1, heads=1, ray_depth=1),
        decoder=DecoderConfig(width=16, depth=1, heads=2, state_heads=2),
        state=StateConfig(tokens=4, positions=StatePositions.line, memory_slots=2),
    )


def subjects(folder: Path) -> dict[str, list[Subject]]:
    """Make the good files in `folder` and return them by kind."""
    torch.manual_seed(0)
    model = Cut3r(small_config()).eval()
    model.requires_grad_(False)
    official, own = folder / "official.pth", folder / "own.safetensors"
    export_official(model, official)
    save(model, own, confidence=1.5)
    return {
        "config": [
            Subject("constructor", ".txt", constructor_from_config(model.config).encode(), m.BYTES, _read_constructor),
            Subject(
                "json", ".json", config_to_json(model.config).encode(), (*m.BYTES, *13 * [m.json_value]), _read_json
            ),
        ],
        "checkpoint": [
            Subject(
                "official",
                ".pth",
                official.read_bytes(),
                (*m.BYTES, *4 * [m.torch_content], *3 * [m.zip_members], *3 * [m.pickle_member], m.deflate_bomb),
                _read_checkpoint,
            ),
            Subject(
                "own",
                ".safetensors",
                own.read_bytes(),
                (*m.BYTES, *6 * [m.safetensors_header], *4 * [m.safetensors_tensors]),
                _read_checkpoint,
            ),
        ],
        **_stream_subjects(model, folder),
    }


def _stream_subjects(model: Cut3r, folder: Path) -> dict[str, list[Subject]]:
    session_file, resume_file = folder / "session.safetensors", folder / "resume.npz"
    session, grid = Session(model), Reconstruction(confidence=0.0, voxel_size=0.1)
    sample = Reconstruction(confidence=0.0, voxel_size=None, max_points=50)
    for number in range(2):
        picture = np.random.default_rng(number).integers(0, 256, (16, 32, 3), dtype=np.uint8)
        result = session.push(Frame(picture, number, number / 30, f"{number}.jpg"))
        grid.add(result)
        sample.add(result)
    session.save(session_file)
    kinds = {"session": [], "resume": []}  # type: dict[str, list[Subject]]
    header = (*m.BYTES, *6 * [m.safetensors_header], *6 * [m.safetensors_tensors])
    kinds["session"].append(
        Subject("session", ".safetensors", session_file.read_bytes(), header, _session_reader(model, session))
    )
    for name, scene in (("voxels", grid), ("sample", sample)):
        ResumePoint(resume_file, SETTINGS).save(session, scene)
        mutations = (*m.BYTES, *8 * [m.npz_arrays], *3 * [m.zip_members], m.deflate_bomb)
        content = resume_file.read_bytes()
        kinds["resume"].append(Subject(name, ".npz", content, mutations, _resume_reader(model, session, scene)))
    return kinds


def attempt(kind: str, candidates: list[Subject], seed: int, folder: Path) -> Attempt:
    """Damage one file in the way that the seed says, and read it."""
    rng = Random(f"{kind} {seed}")
    subject = rng.choice(candidates)
    mutation = rng.choice(subject.mutations)
    content = mutation(rng, subject.original)
    path = folder / f"damaged{subject.suffix}"
    path.write_bytes(content)
    start = time.process_time()
    outcome, detail = _outcome(lambda: subject.read(path, mutation in m.BYTES))
    cpu_s = time.process_time() - start
    if cpu_s > DEADLINE_S:
        outcome = "slow"
    return Attempt(kind, seed, subject.name, mutation.__name__, outcome, detail, cpu_s)


def _outcome(read: Callable[[], None]) -> tuple[str, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read()
    except Accepted as error:
        return "accepted though not valid", str(error)
    except (ValueError, FileNotFoundError) as error:
        told = str(error)
        fine = "\n" not in told and 0 < len(told) <= LONGEST_MESSAGE
        return ("refused" if fine else "not one sentence"), told[: 2 * LONGEST_MESSAGE]
    except Exception as error:  # what must not happen, whatever it is: the fuzzing counts it and goes on
        return "escaped", f"{type(error).__name__}: {error}"[:LONGEST_MESSAGE]
    return "accepted", ""


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Accepted(what)


def _read_constructor(path: Path, damage_only: bool) -> None:
    _check_config(config_from_constructor(path.read_bytes().decode("utf-8", "surrogateescape")))


def _read_json(path: Path, damage_only: bool) -> None:
    _check_config(config_from_json(path.read_bytes().decode("utf-8", "surrogateescape")))


def _check_config(config: ModelConfig) -> None:
    _require(config_from_json(config_to_json(config)) == config, "does not survive its own format")
    _require(math.isfinite(config.rope_base), "rope_base is not finite")
    if config.blocks <= BUILT_TO_TRY:
        with torch.device("meta"):
            Cut3r(config)


def _read_checkpoint(path: Path, damage_only: bool) -> None:
    model = load(path)
    _require(all(bool(entry.isfinite().all()) for entry in model.state_dict().values()), "weights are not finite")
    with torch.device("meta"):
        expected = {name: entry.shape for name, entry in Cut3r(model.config).state_dict().items()}
    _require({name: entry.shape for name, entry in model.state_dict().items()} == expected, "shapes do not fit")


def _session_reader(model: Cut3r, original: Session) -> Callable[[Path, bool], None]:
    def read(path: Path, damage_only: bool) -> None:
        session = Session(model)
        session.load(path)
        _check_session(session, original)

    return read


def _check_session(session: Session, original: Session) -> None:
    (ours, said), (theirs, expected) = session.pack(), original.pack()
    _require(said == expected, "counts differ")
    _require(ours.keys() == theirs.keys(), "it holds other tensors")
    for name, tensor in theirs.items():
        _require(torch.equal(ours[name], tensor), f"{name} differ")


def _resume_reader(model: Cut3r, original: Session, scene: Reconstruction) -> Callable[[Path, bool], None]:
    expected = scene.state_arrays()

    def read(path: Path, damage_only: bool) -> None:
        session = Session(model)
        resumed = ResumePoint(path, SETTINGS).load(session)
        assert resumed is not None
        _check_session(session, original)
        arrays = resumed.state_arrays()
        _require(bool(np.isfinite(resumed.points).all()), "points are not finite")
        _require(len(resumed.cameras.names) == len(resumed.cameras), "names and cameras differ in number")
        same = all(arrays[name].tobytes() == array.tobytes() for name, array in expected.items())
        _require(same or not damage_only, "the scene differs, and nobody forged it")

    return read
