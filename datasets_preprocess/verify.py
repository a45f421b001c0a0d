"""Opens every frame of a processed dataset through the reader that training will use."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cut3r.data.dataset import MultiViewDataset, NoScenesError
from cut3r.data.datasets import DATASETS
from cut3r.data.layout import READ_ERRORS
from cut3r.data.sampling import Scene
from cut3r.data.transforms import principal_window
from datasets_preprocess.runner import read_records, require_rigid

Opened = tuple[MultiViewDataset, Scene]


@dataclass(frozen=True)
class Verification:
    scenes: int
    frames: int
    problems: list[str]

    def __str__(self) -> str:
        head = f"{self.scenes} scenes with {self.frames} frames, {len(self.problems)} problems"
        return "\n".join([head, *(f"  {problem}" for problem in self.problems)])


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
    with ThreadPoolExecutor(workers) as pool:
        for found in pool.map(_problems_of, opened):
            problems += found
    frames = sum(len(scene.frames) for _, scene in opened)
    records = read_records(out)
    problems.extend(f"{record.scene}: not converted: {record.reason}" for record in records if not record.done)
    recorded = sum(len(record.frames) for record in records if record.done)
    if records and recorded != frames:
        problems.append(f"the converter recorded {recorded} frames and the reader finds {frames}; convert again")
    if not opened:
        problems.append(f"no scene of {name} in {out}")
    return Verification(len(opened), frames, problems)


def _scenes_of(name: str, out: Path, split: str | None) -> tuple[list[Opened], list[str]]:
    """Open a split, which may be empty; that there is nothing at all shows in the counts."""
    try:
        dataset = DATASETS[name](out, split=split, num_views=1, sizes=[(1, 1)])
    except NoScenesError:
        return [], []
    except READ_ERRORS as error:
        return [], [f"split {split}: {error!r}"]
    return [(dataset, scene) for scene in dataset.scenes], []


def _problems_of(opened: Opened) -> list[str]:
    dataset, scene = opened
    return [problem for frame in scene.frames if (problem := _problem_of(dataset, scene, frame))]


def _problem_of(dataset: MultiViewDataset, scene: Scene, frame: str) -> str:
    try:
        raw = dataset.read(scene, frame)
        require_rigid(raw.world_from_cam, frame)
        principal_window(raw.size, raw.intrinsics)
    except READ_ERRORS as error:
        return f"{scene.name}/{frame}: {error!r}"
    return ""
