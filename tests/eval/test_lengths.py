"""One run scored at several lengths gives what runs of these lengths give, because the network is causal."""

import json

import numpy as np
import pytest

from cut3r.data.synthetic import synthetic_walk
from cut3r.data.walks import WalkConfig
from cut3r.io.images import write_image
from cut3r.io.trajectory import write_tum
from cut3r.weights.checkpoint import save
from eval.config import EvalConfig
from eval.launch import evaluate
from eval.lengths import beginnings, require_lengths
from eval.report.compare import arrange, family_comparisons
from eval.report.page import make_report
from eval.report.runs import read_runs
from eval.settings import WrongSettingsError
from eval.ways import evaluate_ways
from tests.conftest import make_tiny

NAME, FRAMES = "rgbd_dataset_freiburg3_sitting_xyz", 8
PROTOCOL = "relpose"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A long set prepared at two lengths, and a network."""
    root = tmp_path_factory.mktemp("workplace")
    walk = synthetic_walk(7, 0, WalkConfig(size=(48, 64), frames=FRAMES, noise=0.0))
    times_s = 100 + np.arange(FRAMES) / 10
    for frames in (FRAMES, 5):
        folder = root / "long_tum_s1" / NAME
        for number in range(frames):
            write_image(folder / f"rgb_{frames}/{times_s[number]:.6f}.png", walk.rgb[number].numpy())
        cameras = walk.world_from_cam[:frames].double().numpy()
        write_tum(folder / f"groundtruth_{frames}.txt", cameras, times_s[:frames])
    save(make_tiny("linear"), root / "net.safetensors")
    return root


def settings(workplace, out, frames, **changes):
    return EvalConfig(
        dataset=f"tum_s1_{frames}", root=workplace, weights=str(workplace / "net.safetensors"), complete=False,
        device="cpu", out=workplace / out, **changes,
    )  # fmt: skip


def test_a_prefix_scores_as_a_run_of_its_length(workplace, capsys):
    assert evaluate(PROTOCOL, settings(workplace, "long", FRAMES, lengths=[5, 4])) == 0
    assert "tum_s1_5:" in capsys.readouterr().out
    assert evaluate(PROTOCOL, settings(workplace, "short", 5)) == 0
    folder = workplace / "long"
    assert beginnings(folder) == [folder / "lengths" / "4", folder / "lengths" / "5"]
    ours, theirs = (
        json.loads((each / "result.json").read_text()) for each in (folder / "lengths/5", workplace / "short")
    )
    assert ours["summary"]["sim3"]["ate"]["headline"] == pytest.approx(
        theirs["summary"]["sim3"]["ate"]["headline"], rel=1e-6
    )
    assert len(list((folder / "predictions").glob("*/cameras.npz"))) == 1
    assert not (folder / "lengths/5/predictions").exists()
    assert ours["facts"]["dataset"] == "tum_s1_5"

    runs = read_runs([folder])
    assert [run.dataset for run in runs] == ["tum_s1_8", "tum_s1_4", "tum_s1_5"]
    assert all(run.command.endswith(f"out={folder}") and "lengths=" in run.command for run in runs)
    _, (family,) = arrange(runs)
    ate = next(each for each in family_comparisons(family) if (each.group, each.columns[0].metric) == ("sim3", "ate"))
    assert set(ate.entries[0].values) == {"4", "5", "8"}
    assert "TUM-dynamics, by length" in make_report(runs, pictured=0).html


def test_ways_to_take_long_streams_stand_in_one_table_at_each_length(workplace, capsys):
    """One command. A loop says something of earlier frames, so that way is predicted anew at each length."""
    ways = ["overwrite", "filt3r:r=0.8", "ttt3r reset=3 overlap=2 keyframes=every:2 loops=true"]
    config = settings(workplace, "ways", FRAMES, lengths=[6], ways=ways)
    assert evaluate_ways(PROTOCOL, config) == 0
    said = capsys.readouterr().out
    tail = said[said.rindex("by length: ATE") :]
    names = ["net, overwrite", "net, filt3r:r=0.8", "net, ttt3r, reset 3, overlap 2, keyframes every:2, loops"]
    assert all(f"| {name} " in tail or f"{name} |" in tail for name in names)
    folder = workplace / "ways"
    assert (folder / "report/report.html").is_file()
    runs = sorted(path.parent for path in folder.glob("*/run.json"))
    assert len(runs) == 3
    predicted = [bool(list(run.glob("lengths/6/predictions/*/cameras.npz"))) for run in runs]
    assert predicted == ["loops" in run.name for run in runs] and any(predicted)
    (looped,) = (run for run in runs if "loops" in run.name)
    identity = json.loads((looped / "run.json").read_text())["identity"]
    assert identity["loops"] and "every=3" in identity["resets"] and "value=2.0" in identity["keyframes"]
    command = read_runs([looped])[0].command
    assert all(word in command for word in ("reset=3", "every:2", "loops=true", "overlap=2"))
    assert evaluate_ways(PROTOCOL, config) == 0  # nothing is left to do


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("tt3r", "there is no update rule 'tt3r'"),
        ("ttt3r size=512", "cannot be read at 'size=512'; give an update rule and reset="),
        ("ttt3r filt3r", "cannot be read at 'filt3r'"),
        ("ttt3r joint=best reset=9", "joint is 'best'; choose from published, pose, se3"),
        ("ttt3r loops=yes", "loops is 'yes'; give true or false"),
        ("ttt3r loops=true", "loops=true puts pieces elsewhere"),
        ("reset=5", "is not more than the overlap of 8"),
    ],
)
def test_a_way_that_is_none_is_refused_before_anything_runs(workplace, way, message):
    with pytest.raises(WrongSettingsError, match=message):
        evaluate_ways(PROTOCOL, settings(workplace, "no_ways", FRAMES, ways=["overwrite", way]))
    assert not (workplace / "no_ways").exists()


def test_finished_lengths_are_kept_and_others_are_added(workplace):
    assert evaluate(PROTOCOL, settings(workplace, "again", FRAMES)) == 0
    predicted = next((workplace / "again/predictions").glob("*/cameras.npz")).stat().st_mtime_ns
    assert evaluate(PROTOCOL, settings(workplace, "again", FRAMES, lengths=[4])) == 0
    scored = next((workplace / "again/lengths/4/scores").glob("*.json")).stat().st_mtime_ns
    assert evaluate(PROTOCOL, settings(workplace, "again", FRAMES, lengths=[4, 6])) == 0
    assert next((workplace / "again/predictions").glob("*/cameras.npz")).stat().st_mtime_ns == predicted
    assert next((workplace / "again/lengths/4/scores").glob("*.json")).stat().st_mtime_ns == scored
    assert [path.name for path in beginnings(workplace / "again")] == ["4", "6"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "tum"}, "has no lengths"),
        ({"lengths": [50, 400]}, r"lengths \[400\] are no beginnings"),
        ({"revisit": 2}, "depend on the last ones"),
        ({"every": 2}, "give one of the two"),
    ],
)
def test_lengths_that_are_no_prefixes_are_refused(changes, message):
    config = EvalConfig(**{"dataset": "tum_s1_200", "weights": "tiny", "lengths": [50]} | changes)
    with pytest.raises(ValueError, match=message):
        require_lengths(PROTOCOL, config)
