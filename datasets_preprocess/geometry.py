"""Does the geometry of a processed dataset agree with itself? Frames are looked for in each other, and poses in a row
are compared; when they disagree, the convention that would fit better is named."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from cut3r.data.dataset import MultiViewDataset
from cut3r.data.diagnosis import Verdict, diagnose
from cut3r.data.geometry_report import SceneReport, geometry_table
from cut3r.data.pose_checks import check_sequence
from cut3r.data.scene import Scene
from cut3r.data.view import RawFrame
from cut3r.files.damaged import read_errors
from datasets_preprocess.converter import require_rigid

SCENES = 8  # that are looked at, of a dataset
PAIRS = 8  # of a scene
STEPS = (1, 2, 4, 8)  # frames between the two of a pair, of a scene without a graph
IN_A_ROW = 30  # frames whose poses are compared

Pair = tuple[RawFrame, RawFrame]


@dataclass(frozen=True)
class Proof:
    """What was found, scene by scene."""

    scenes: list[SceneReport]

    @property
    def problems(self) -> list[str]:
        """Sentences about scenes whose geometry is wrong; what cannot be told is none."""
        return [
            f"{scene.name}: {scene.diagnosis.sentence}"
            for scene in self.scenes
            if scene.diagnosis is not None and scene.diagnosis.verdict is Verdict.wrong
        ]

    def __str__(self) -> str:
        return geometry_table(self.scenes) if self.scenes else "no scene has several views with depth to compare"


def prove(dataset: MultiViewDataset, scenes: Sequence[Scene], *, count: int = SCENES, seed: int = 0) -> Proof:
    """Look at some scenes of a dataset, chosen at random but always the same.

    Datasets of unrelated pictures have nothing to compare; of those with made-up depth only the poses are looked at.
    """
    if dataset.single_view:
        return Proof([])
    rng = np.random.default_rng(seed)
    numbers = sorted(rng.choice(len(scenes), min(count, len(scenes)), replace=False).tolist())
    return Proof([prove_scene(dataset, scenes[number], rng) for number in numbers])


def prove_scene(dataset: MultiViewDataset, scene: Scene, rng: np.random.Generator) -> SceneReport:
    """Compare pairs of frames, and some frames in a row."""
    pairs = [] if dataset.camera_only_of(scene) else [pair for _, pair in readable_pairs(dataset, scene, rng)]
    sequence = None
    if scene.graph is None or scene.tracks is not None:
        positions = scene.track(0 if scene.tracks is None else int(scene.tracks[0]))[:IN_A_ROW]
        frames = readable(dataset, scene, positions)
        first = next(frames, None)
        sequence = None if first is None else check_sequence(chain([first], frames))
    return SceneReport(scene.name, diagnose(pairs) if pairs else None, sequence)


def readable_pairs(
    dataset: MultiViewDataset, scene: Scene, rng: np.random.Generator, count: int = PAIRS
) -> Iterator[tuple[str, Pair]]:
    """Give pairs of frames that ought to see the same, with their names; those that cannot be read are left out."""
    for first, second in pairs_of(scene, rng, count):
        frames = [frame for _, frame in readable(dataset, scene, (first, second))]
        if len(frames) == 2:
            yield f"{scene.name}: {scene.frames[first]}, {scene.frames[second]}", (frames[0], frames[1])


def pairs_of(scene: Scene, rng: np.random.Generator, count: int = PAIRS) -> list[tuple[int, int]]:
    """Choose pairs of positions: neighbours in the graph, the best of them first; or frames a few steps apart."""
    total = len(scene.frames)
    if scene.graph is not None:
        anchors = np.flatnonzero(scene.graph.degrees)
        pairs = []
        for anchor in rng.permutation(anchors)[:count].tolist():
            neighbours, weights = scene.graph.of(anchor)
            pairs.append((anchor, int(neighbours[int(np.argmax(weights))])))
        return [pair for pair in pairs if pair[0] != pair[1]]
    steps = [step for step in STEPS if step < total] or [0]
    if steps == [0]:
        return []
    chosen = {(int(rng.integers(total - step)), step) for step in rng.choice(steps, count).tolist()}
    return sorted((first, first + step) for first, step in chosen)


def readable(dataset: MultiViewDataset, scene: Scene, positions: Sequence[int]) -> Iterator[tuple[str, RawFrame]]:
    """Read frames; those that cannot be read, which `verify` reports, are left out."""
    for position in positions:
        try:
            frame = dataset.read(scene, position)
            require_rigid(frame.world_from_cam, scene.frames[position])
        except read_errors():
            continue
        yield scene.frames[position], frame
