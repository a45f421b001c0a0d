"""demo_ga.py that is interrupted while it writes, and goes on with what was finished before."""

import json
import shutil

import pytest

import demo_ga
from cut3r.alignment import outcome
from cut3r.inference.frame_folder import read_frame_folder


def test_a_finished_bundle_adjustment_is_not_repeated(weights, photos, tmp_path, monkeypatch):
    pytest.importorskip("pyceres", reason="SKIPPED LOUDLY: no pyceres (pip install cut3r[ba])")
    from cut3r.alignment import bundle

    def stop(*_):
        raise KeyboardInterrupt

    def run(out, *more):
        where = ["--model_path", weights, "--output_dir", out, "--ba", "--max-frames", 3, "--no-viewer"]
        return demo_ga.main([*map(str, [photos, *where, "--device", "cpu", *more])])

    out, searched, search = tmp_path / "out", [], bundle.find_tracks
    monkeypatch.setattr(bundle, "find_tracks", lambda *given, **how: searched.append(1) or search(*given, **how))
    with monkeypatch.context() as patched:
        patched.setattr(outcome, "write_results", stop)
        assert run(out) != 0
    shutil.copytree(out, tmp_path / "other")
    assert run(out, "--resume") == 0 and len(searched) == 1
    assert not (out / ".alignment").exists()
    assert run(tmp_path / "other", "--resume", "--align", "graph") == 0 and len(searched) == 2
    assert run(tmp_path / "whole") == 0
    for ours, theirs in zip(read_frame_folder(out), read_frame_folder(tmp_path / "whole"), strict=True):
        assert (ours.depth == theirs.depth).all() and (ours.world_from_cam == theirs.world_from_cam).all()
    reports = [json.loads((folder / "alignment.json").read_text()) for folder in (out, tmp_path / "whole")]
    for report in reports:
        report["bundle_adjustment"].pop("seconds")
    assert reports[0] == reports[1]
