"""The recordings in tests/golden/datasets: a raw download in miniature, what the original's converter makes of it, and
what its reader returns."""

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from cut3r.data.datasets import PROCESSED
from cut3r.data.processed import ProcessedDataset
from cut3r.data.view import CompactView
from datasets_preprocess.runner import Record, Report

GOLDEN = Path(__file__).parents[2] / "golden" / "datasets"
RECORDED = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


@dataclass(frozen=True)
class Sample:
    """A sample that was recorded, and with which options of the reader."""

    slug: str
    case: str
    index: int

    def __str__(self) -> str:
        return f"{self.slug}-{self.case}-{self.index}"

    @property
    def values(self) -> dict[str, np.ndarray]:
        prefix = f"{self.case}/{self.index}/"
        views = load_views(self.slug)
        return {name.removeprefix(prefix): views[name] for name in views if name.startswith(prefix)}


@cache
def load_views(slug: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / slug / "views.npz") as archive:
        return {name: archive[name] for name in archive.files}


@cache
def meta(slug: str) -> dict:
    return json.loads(str(load_views(slug)["meta"]))


def case_of(slug: str, name: str) -> dict:
    return next(case for case in meta(slug)["cases"] if case["name"] == name)


def samples(slugs: list[str]) -> list[Sample]:
    return [
        Sample(slug, case["name"], index) for slug in slugs for case in meta(slug)["cases"] for index in case["indices"]
    ]


def unpack(slug: str, part: str, folder: Path) -> Path:
    """Unpack raw.zip or processed.zip into a folder, once; give the root that the recording used."""
    target = folder / slug / part
    if not target.is_dir():
        with zipfile.ZipFile(GOLDEN / slug / f"{part}.zip") as archive:
            archive.extractall(target)
    make_folders_beside(slug, target)
    return target


def make_folders_beside(slug: str, root: Path) -> None:
    """Make the folders that the recording had beside its processed one, which it calls "processed"."""
    for name in meta(slug).get("folders_beside", ()):
        (root.parent / f"{root.name}{name.removeprefix('processed')}").mkdir(parents=True, exist_ok=True)


def unexpected(report: Report, given_up: list[str]) -> list[Record]:
    """List the failures of a conversion, without the scenes that the original gave up as well."""
    return [record for record in report.failures if record.scene not in given_up]


def open_parity(slug: str, root: Path, case: dict, **options) -> ProcessedDataset:
    """Open a processed folder as the recording did."""
    w, h = case["resolution"]
    return PROCESSED[slug](
        root,
        split=case["split"],
        num_views=case["num_views"],
        sizes=[(h, w)],
        seed=case["seed"],
        aug_crop=case["aug_crop"],
        allow_repeat=case["allow_repeat"],
        parity=True,
        **case.get("ctor", {}),
        **options,
    )


class Draws:
    """Records the generators that a dataset makes, and what each would give next after every view."""

    def __init__(self, dataset: ProcessedDataset) -> None:
        self._generator: np.random.Generator | None = None
        make = dataset._generator

        def remember(request, attempt):
            self._generator = make(request, attempt)
            return self._generator

        dataset._generator = remember

    def per_view(self, count: int) -> list[int]:
        """The original's last step: four bytes per view."""
        assert self._generator is not None
        return [int.from_bytes(self._generator.bytes(4), "big") for _ in range(count)]


def compare_sample(
    views: list[CompactView], draws: list[int], recorded: dict[str, np.ndarray], *, grey: int = 1, depth: float = 0.0
) -> None:
    """Demand that a sample is the recorded one, in the world of its first view.

    Args:
        grey: By how much pictures may differ, of 255.
        depth: By how much depth may differ beside rounding, in its unit.
    """
    assert draws == recorded["rng"].tolist(), "the draws before were others"
    origin = recorded["camera_pose"][0, :3, 3].astype(np.float64)
    size = 1 + np.abs(recorded["camera_pose"]).max()
    for number, view in enumerate(views):
        full = view.to("cpu")
        assert view.label.startswith(f"{recorded['dataset'][number]}/")
        rgb = view.rgb.numpy().astype(int)
        assert np.abs(rgb - recorded["img"][number]).max() <= grey
        close(view.depth, recorded["depthmap"][number], 1e-6, atol=1e-6 + depth)
        close(view.intrinsics, recorded["camera_intrinsics"][number], 1e-6)
        pose = recorded["camera_pose"][number].astype(np.float64)
        pose[:3, 3] -= origin
        close(view.world_from_cam, pose, 0, atol=1e-6 * size)
        assert (full.valid.numpy() == recorded["valid_mask"][number]).all()
        kept = next(name for name in recorded if name.startswith("pts3d_every"))
        every = slice(None, None, int(kept.removeprefix("pts3d_every")))
        points = recorded[kept][number] - origin
        seen = recorded["valid_mask"][number, every, every]
        close(full.points[every, every].numpy()[seen], points[seen], 1e-5, atol=1e-5 * size + 2 * depth)
        close(full.ray_map[::8, ::8], recorded["ray_map_every8"][number], 1e-5, atol=1e-5 * size)
        flags = (view.has_image, view.has_rays, view.metric, view.camera_only, view.single_view, view.reset)
        names = ("img_mask", "ray_mask", "is_metric", "camera_only", "single_view", "reset")
        assert [bool(flag) for flag in flags] == [bool(recorded[name][number]) for name in names]


def close(ours, theirs, rtol: float, atol: float | None = None) -> None:
    values = ours.numpy() if isinstance(ours, torch.Tensor) else ours
    np.testing.assert_allclose(values, theirs, rtol=rtol, atol=rtol if atol is None else atol)


def files_below(root: Path) -> Iterator[str]:
    """Name the files of a processed folder that the original's converters write as well."""
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not name.startswith(".") and name not in ("dataset.json", "index.npz"):
            yield name
