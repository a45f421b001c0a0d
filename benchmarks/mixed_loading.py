"""Eight datasets mixed: what a sample costs, stage by stage, from folders and from shards, and does a trainer wait?

Folders and shards take turns, sample by sample and round by round, so that whatever else the machine does slows both.
"""

import os
import random
import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from mixed_sets import PLANS
from stage_times import STAGES, Watch

from cut3r.data.datasets import PROCESSED
from cut3r.data.loader import Loader, LoaderConfig, plan_epoch
from cut3r.data.mixture import Mixture, Part
from cut3r.data.packing import pack
from cut3r.data.transforms import ColorJitter

KINDS = ("plain", "packed")
SIZE = (384, 512)  # (h, w)


def mixture(folder: Path, kind: str, views: int, samples: int) -> Mixture:
    """Mix the sets in equal parts, with the published changes of colours and crops."""
    options: dict[str, Any] = {"split": "all", "num_views": views, "sizes": [SIZE], "aug_crop": 16}
    sets = [PROCESSED[plan.slug](folder / kind / plan.slug, jitter=ColorJitter(), **options) for plan in PLANS]
    return Mixture([Part(each, -(-samples // len(sets))) for each in sets])


def stage_rows(folder: Path, views: int, samples: int) -> list[dict[str, Any]]:
    """Give milliseconds of one thread per frame, by stage: a row for all sets from folders and from shards, and a row
    for each set from folders."""
    sources = {kind: mixture(folder, kind, views, samples) for kind in KINDS}
    config = LoaderConfig(batch_size=1, fixed_length=True)
    requests = [request for (request,) in plan_epoch(sources["plain"], config, 0)][:samples]
    watches = {name: Watch() for name in (*KINDS, *(plan.slug for plan in PLANS))}
    counts = dict.fromkeys(watches, 0)
    for request in requests:
        slug = PLANS[sources["plain"].resolve(request)[0]].slug
        for kind in KINDS:
            names = (kind, slug) if kind == "plain" else (kind,)
            watch = Watch()
            with watch.installed(), watch.stage("other"):
                sample = sources[kind].compact(request)
                with watch.stage("hand over"):
                    pack([sample], shared=True)
            for name in names:
                counts[name] += views
                for stage, seconds in watch.seconds.items():
                    watches[name].seconds[stage] += seconds
    return [_stage_row(name, watches[name].seconds, counts[name]) for name in watches if counts[name]]


def _stage_row(name: str, seconds: dict[str, float], frames: int) -> dict[str, Any]:
    codecs = {plan.slug: plan.codecs for plan in PLANS}.get(name, "all")
    by_stage = {stage: 1e3 * seconds.get(stage, 0.0) / frames for stage in STAGES}
    return {"from": name, "codecs": codecs, "frames": frames, **by_stage, "ms": sum(by_stage.values())}


def waiting_rows(
    folder: Path, *, workers: int, views: int, batch_size: int, batches: int, step_s: float, rounds: int
) -> list[dict[str, Any]]:
    """Load batches as fast as they come, and then with a trainer that takes `step_s` for each; medians of the rounds.

    `cores` is how much of the machine the workers got when they never stood still: beside other programs, that and not
    their number decides. `quiet_waiting` is with a step that is longer by as much as the machine is slower than if all
    its cores were free: what the same step would wait there.
    """
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    config = LoaderConfig(batch_size, workers, fixed_length=True)
    settled = workers * config.prefetch_factor  # made while nobody took any
    for number in range(rounds):
        for kind in KINDS if number % 2 == 0 else reversed(KINDS):
            loader = Loader(mixture(folder, kind, views, batch_size * (settled + batches)), config)
            before = _processor_seconds()
            busy = _run(loader.batches(number), settled, batches, 0.0)
            cores = (_processor_seconds() - before) / busy["all_s"]
            as_quiet = step_s * max(1.0, (os.cpu_count() or 1) / cores)
            waits = [_run(loader.batches(number), settled, batches, pause) for pause in (step_s, as_quiet)]
            row = {"samples_per_s": batches * batch_size / busy["seconds"], "cores": cores}
            row |= {"waiting": waits[0]["waited_s"] / waits[0]["seconds"], "quiet_step_ms": 1e3 * as_quiet}
            found[kind].append(row | {"quiet_waiting": waits[1]["waited_s"] / waits[1]["seconds"]})
    head = {"workers": workers, "batch_size": batch_size, "views": views, "step_ms": 1e3 * step_s}
    return [
        {"from": kind, **head, **{name: median(row[name] for row in rows) for name in rows[0]}}
        for kind, rows in found.items()
    ]


def _run(stream: Iterator[Any], settled: int, batches: int, step_s: float) -> dict[str, float]:
    """Take batches, the first of them untimed, with a pause after each."""
    first = time.perf_counter()
    waited = begin = 0.0
    for number in range(settled + batches):
        if number == settled:
            waited, begin = 0.0, time.perf_counter()
        start = time.perf_counter()
        next(stream)
        waited += time.perf_counter() - start
        time.sleep(step_s)
    end = time.perf_counter()
    for _ in stream:  # so that the workers end, and what they have used is known
        pass
    return {"waited_s": waited, "seconds": end - begin, "all_s": time.perf_counter() - first}


def _processor_seconds() -> float:
    """The processor time of workers that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cold_rows(folder: Path, frames: int, rounds: int) -> list[dict[str, Any]]:
    """Read the files of random frames that the system was asked to forget: milliseconds by the clock, per frame."""
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(rounds):
        for kind in KINDS if number % 2 == 0 else reversed(KINDS):
            files = _frame_files(folder / kind, frames, seed=number)
            _forget(folder / kind)
            start = time.perf_counter()
            for path in files:
                path.read_bytes()
            times[kind].append(1e3 * (time.perf_counter() - start) / frames)
    return [{"from": kind, "cold_ms": median(values), "worst": max(values)} for kind, values in times.items()]


def _frame_files(folder: Path, frames: int, seed: int) -> Sequence[Path]:
    found: list[list[Path]] = []
    for plan in PLANS:
        dataset = PROCESSED[plan.slug](folder / plan.slug, split="all", num_views=1, sizes=[SIZE])
        for scene in dataset.scenes:
            found += [
                [dataset.file(kind, scene, position) for kind in ("rgb", "depth", "camera")]
                for position in range(len(scene.frames))
            ]
    return [path for files in random.Random(seed).sample(found, min(frames, len(found))) for path in files]


def _forget(folder: Path) -> None:
    """Ask the system to drop what it holds of all files below a folder."""
    for path in (path for path in folder.rglob("*") if path.is_file()):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
