"""Opens every frame of a processed dataset through the reader that training will use."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cut3r.data.dataset import MultiViewDataset, NoScenesError
from cut3r.data.datasets import DATASETS
from cut3r.data.scene import Scene
from cut3r.data.transforms import principal_window
from cut3r.files.damaged import read_errors
from datasets_preprocess.runner import read_records, require_rigid

Opened = tuple[MultiViewDataset, Scene]


@dataclass(frozen=True)
class Verification:
    """What was found. `without_depth` are frames that are whole but show no depth, which may be right (an object out of
    sight) or not."""

    scenes: int
    frames: int
    problems: list[str]
    without_depth: list[str]

    def __str__(self) -> str:
        lines = [f"{self.scenes} scenes with {self.frames} frames, {len(self.problems)} problems"]
        lines += [f"  {problem}" for problem in self.problems]
        if self.problems:
            lines.append(
                "  repair the raw files and run the converter again: it notices which of them have changed; --again "
                "SCENE converts a scene again in any case"
            )
        if self.without_depth:
            lines.append(
                f"  frames that show no depth at all: {len(self.without_depth)}, first {self.without_depth[0]}"
            )
        return "\n".join(lines)


def verify(name: str, out: Path, *, workers: int = 1) -> Verification:
    """Read every frame of every split, and compare their number with what the converter recorded.

    Data of the original's converters has no records and is read all the same.
    """
    opened: list[Opened] = []
    problems: list[str] = []
    for split in DATASETS[name].splits:
        scenes, reasons = _scenes_of(name, out, split)
        opened += scenes
        problems += reasons
    without_depth: list[str] = []
    with ThreadPoolExecutor(workers) as pool:
        for found in pool.map(_examine, opened):
            problems += found[0]
            without_depth += found[1]
    frames = sum(len(scene.frames) for _, scene in opened)
    records = read_records(out)
    problems.extend(f"{record.scene}: not converted: {record.reason}" for record in records if not record.done)
    recorded = sum(len(record.frames) for record in records if record.done)
    if records and recorded != frames:
        problems.append(f"the converter recorded {recorded} frames and the reader finds {frames}; convert again")
    if not opened:
        problems.append(f"no scene of {name} in {out}")
    return Verification(len(opened), frames, problems, without_depth)


def _scenes_of(name: str, out: Path, split: str | None) -> tuple[list[Opened], list[str]]:
    """Open a split, which may be empty; that there is nothing at all shows in the counts."""
    try:
        dataset = DATASETS[name](out, split=split, num_views=1, sizes=[(1, 1)])
    except NoScenesError:
        return [], []
    except read_errors() as error:
        return [], [f"split {split}: {error!r}"]
    return [(dataset, scene) for scene in dataset.scenes], []


def _examine(opened: Opened) -> tuple[list[str], list[str]]:
    """Read the frames of a scene: problems, and frames without depth."""
    dataset, scene = opened
    found = [_examine_frame(dataset, scene, position) for position in range(len(scene.frames))]
    without_depth = [
        f"{scene.name}/{frame}" for frame, (_, depth) in zip(scene.frames, found, strict=True) if not depth
    ]
    return [problem for problem, _ in found if problem], without_depth


def _examine_frame(dataset: MultiViewDataset, scene: Scene, position: int) -> tuple[str, bool]:
    """Say what is wrong with a frame, if anything is, and whether it shows depth."""
    frame = scene.frames[position]
    try:
        raw = dataset.read(scene, position)
        require_rigid(raw.world_from_cam, frame)
        principal_window(raw.size, raw.intrinsics)
    except read_errors() as error:
        return f"{scene.name}/{frame}: {error!r}", True
    return "", bool((raw.depth != 0).any())
