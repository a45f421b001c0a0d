"""A look at a dataset before terabytes are converted: a few scenes, into a folder that is thrown away."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cut3r.data.contact_sheet import contact_sheet
from cut3r.data.dataset import MultiViewDataset, NoScenesError
from cut3r.data.processed import ALL
from datasets_preprocess.converter import Converter, RawScene, Unlisted
from datasets_preprocess.defaults import TRIAL_SCENES
from datasets_preprocess.geometry import Pair, Proof, prove, readable, readable_pairs
from datasets_preprocess.runner import run

SECONDS = 120.0  # after which no further scene is begun
ROWS = 8  # of the contact sheet


@dataclass
class Trial:
    """What a few scenes show, and what all would cost."""

    listed: int = 0
    unlisted: list[Unlisted] = field(default_factory=list)
    tried: int = 0
    failed: list[str] = field(default_factory=list)
    frames: int = 0
    bytes_written: int = 0
    seconds: float = 0.0
    proof: Proof = field(default_factory=lambda: Proof([]))
    sheet: Path | None = None

    def __str__(self) -> str:
        lines = [f"{self.listed} scenes, {self.tried} tried: {self.frames} frames, {len(self.failed)} failed"]
        lines += [f"  {reason}" for reason in self.failed]
        lines += [f"  the scenes of {part.name} cannot be listed: {part.reason}" for part in self.unlisted]
        lines.append(str(self.proof))
        if self.frames:
            scale = self.listed / self.tried
            megabytes, per_frame = self.bytes_written / self.frames / 1e6, self.seconds / self.frames
            lines.append(
                f"per frame {megabytes:.3g} MB and {per_frame:.3g} s of one core; all {self.listed} scenes, if they "
                f"are like these: about {round(scale * self.frames):,} frames, "
                f"{scale * self.bytes_written / 1e9:.3g} GB, {scale * self.seconds / 3600:.3g} hours of one core"
            )
        if self.sheet is not None:
            lines.append(f"look at {self.sheet}: where all is right, the last tile of each row is nearly white")
        return "\n".join(lines)


def try_out(
    converter: Converter, raw: Path, sheet: Path, *, scenes: int = TRIAL_SCENES, seed: int = 0, parity: bool = False
) -> Trial:
    """Convert some scenes, chosen at random but always the same, into a temporary folder; nothing but the sheet stays.

    Args:
        sheet: Where the contact sheet goes, a PNG.
        scenes: How many at most; none is begun after two minutes.

    Raises:
        FileNotFoundError: There is no raw folder, or no scene in it.
    """
    if not raw.is_dir():
        raise FileNotFoundError(f"there is no folder {raw}; download {converter.name} first and pass it as --raw")
    listed = list(converter.scenes(raw))
    found = sorted((each for each in listed if isinstance(each, RawScene)), key=lambda scene: scene.name)
    trial = Trial(len(found), [each for each in listed if isinstance(each, Unlisted)])
    if not found:
        raise FileNotFoundError(f"no {converter.name} scene in {raw}; the README of the converters shows its layout")
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix=f"try_{converter.name}_") as folder:
        out = Path(folder)
        for number in rng.permutation(len(found))[:scenes].tolist():
            if trial.seconds > SECONDS:
                break
            start = time.process_time()
            report = run(_only(converter, found[number]), raw, out, parity=parity)
            trial.seconds += time.process_time() - start
            trial.tried += 1
            trial.failed += [f"{record.scene}: {record.reason}" for record in (*report.failures, *report.left_out)]
        trial.bytes_written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        _look(converter, out, trial, sheet, rng, parity)
    return trial


def _only(converter: Converter, scene: RawScene) -> Converter:
    """The same converter, for which the download has one scene."""
    return replace(converter, scenes=lambda raw: [scene])


def _look(converter: Converter, out: Path, trial: Trial, sheet: Path, rng: np.random.Generator, parity: bool) -> None:
    try:
        dataset = converter.reader(out, split=ALL, num_views=1, sizes=[(1, 1)], parity=parity)
    except (NoScenesError, FileNotFoundError) as error:
        trial.failed.append(str(error))
        return
    trial.frames = sum(len(scene.frames) for scene in dataset.scenes)
    trial.proof = prove(dataset, dataset.scenes)
    rows = list(_rows(dataset, rng))[:ROWS]
    if rows:
        titles, pairs = [title for title, _ in rows], [pair for _, pair in rows]
        contact_sheet(pairs, titles, sheet, unit="m" if dataset.metric else "units of the scene")
        trial.sheet = sheet


def _rows(dataset: MultiViewDataset, rng: np.random.Generator) -> Iterator[tuple[str, Pair]]:
    """Pairs of different scenes in turn; of unrelated pictures, each with itself."""
    for scene in list(dataset.scenes)[:ROWS]:
        if dataset.single_view:
            chosen = rng.permutation(len(scene.frames))[:ROWS].tolist()
            yield from ((name, (frame, frame)) for name, frame in readable(dataset, scene, chosen))
        else:
            yield from readable_pairs(dataset, scene, rng, max(1, ROWS // len(dataset.scenes)))
