"""The recorded miniatures of the four depth sets, from folders to result files, in parity mode."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from eval.build import make_run
from eval.config import EvalConfig, Layout
from eval.reference_files import write_reference_files
from tests.conftest import GOLDEN
from tests.eval.sequences.trees import unzip_golden

CASES = [
    ("monodepth", "mono", "sintel", 14),
    ("monodepth", "mono", "bonn", 5),
    ("monodepth", "mono", "kitti", 3),
    ("monodepth", "mono", "nyu", 1),
    ("video_depth", "video", "sintel", 14),
    ("video_depth", "video", "bonn", 5),
    ("video_depth", "video", "kitti", 3),
]
TOLERANCE = {"result_scale.json": 1e-3, "result_scale&shift.json": 1e-3}


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for picture in unzip_golden(GOLDEN, folder).rglob("*.png"):
        if picture.stat().st_size == 0:
            Image.new("RGB", (2, 2)).save(picture)
    return folder


@pytest.mark.parametrize(("protocol", "kind", "dataset", "sequences"), CASES)
def test_result_files_are_the_recorded_ones(tree, tmp_path, protocol, kind, dataset, sequences):
    config = EvalConfig(
        dataset=dataset,
        root=tree / "data",
        complete=False,
        predictions=tree / "pred" / kind / dataset,
        layout=Layout.reference,
        parity=True,
        out=tmp_path,
    )
    run = make_run(protocol, config, torch.device("cpu"))
    run.begin()
    run.work()
    result = run.finish()
    assert result["coverage"] == {"expected": sequences, "scored": sequences, "left_out": {}, "failed": {}}
    write_reference_files(run, dataset, result)
    prefix = f"{kind}_{dataset}_"
    recorded = {path.name.removeprefix(prefix): path for path in (tree / "expected").glob(f"{prefix}*.json")}
    assert len(recorded) == (1 if protocol == "monodepth" else 3)
    for name, path in recorded.items():
        expected, found = json.loads(path.read_text()), json.loads((tmp_path / name).read_text())
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert found[key] == pytest.approx(value, rel=TOLERANCE.get(name, 1e-5), abs=1e-6), f"{name}: {key}"
