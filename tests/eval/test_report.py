"""The report of runs: what it refuses, what it writes, and that the page works in a real browser without a network."""

import json
import os
import re
import shlex
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from eval.report.__main__ import default_out, main
from eval.report.page import make_report
from eval.report.repeat import command
from eval.report.runs import RunError, read_run, read_runs
from tests.eval.report_runs import MadeUp, begin_run, make_run

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new --no-sandbox --disable-dev-shm-usage --window-size=1400,900 --hide-scrollbars "
    "--use-angle=swiftshader --enable-unsafe-swiftshader --ignore-gpu-blocklist "  # WebGL without a GPU
    "--disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
)


def browser(test):
    """Mark a test that drives a browser."""
    reason = (
        "SKIPPED LOUDLY: no chromium and chromedriver, the report is not verified by this run; "
        "apt-get install chromium chromium-driver"
    )
    return pytest.mark.browser(pytest.mark.skipif(CHROMIUM is None or CHROMEDRIVER is None, reason=reason)(test))


def refusal(*folders):
    with pytest.raises(RunError) as caught:
        read_runs(list(folders))
    return str(caught.value)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    assert "there is no folder" in refusal(tmp_path / "nowhere")
    assert "has no run.json" in refusal(tmp_path)
    run = make_run(tmp_path / "below" / "run")
    assert str(run) in refusal(tmp_path)


def test_an_unfinished_run_names_what_is_missing_and_the_command(tmp_path):
    run = make_run(tmp_path / "run", sequences=("a", "b", "c"))
    (run / "scores" / "b.json").unlink()
    (run / "result.json").unlink()
    message = refusal(run)
    assert "1 of 3 sequences have no result: b;" in message
    assert (
        f"finish it: python -m eval.relpose dataset=tum root=data weights=weights/ours.pth name=ours out={run}"
        in message
    )


def test_a_run_that_was_only_begun_is_unfinished(tmp_path):
    protocol = MadeUp("relpose", level=1, parity=False, fail=(), leave_out=(), numbers={}, frames=3)
    begin_run(tmp_path, protocol, "tum", "ours", [f"s{n}" for n in range(20)], {})
    message = refusal(tmp_path)
    assert "20 of 20 sequences have no result: s0" in message
    assert "and 12 more" in message


def test_averages_that_are_older_than_the_scores_are_refused(tmp_path):
    run = make_run(tmp_path / "run")
    path = run / "scores" / "desk.json"
    path.write_text(re.sub(r'"ate": [\d.]+', '"ate": 7.0', path.read_text()))
    assert "the averages are older" in refusal(run)


@pytest.mark.parametrize("name", ["run.json", "result.json", "scores/desk.json"])
@pytest.mark.parametrize("content", ['{"half": ', "[1, 2]", "{}", ""])
def test_damaged_files_are_named_with_a_remedy(tmp_path, name, content):
    run = make_run(tmp_path / "run")
    (run / name).write_text(content)
    message = refusal(run)
    assert str(run) in message
    assert "run again" in message or "run anew" in message or "finish it" in message


def test_the_same_run_twice_is_refused(tmp_path):
    run = make_run(tmp_path / "run")
    assert "twice" in refusal(run, run / ".." / "run")


def test_the_page_follows_time_and_memory_along_a_long_sequence(tmp_path):
    """A run on a prefix has the predictions, and so the times, of the run on the whole."""
    charts = "Milliseconds per frame along the longest sequence", "Memory along the longest sequence"
    long = make_run(tmp_path / "long", dataset="tum_s1_50", frames=40)
    assert all(text in make_report(read_runs([long]), pictured=0).html for text in charts)
    for name, facts in {"short": {"frames": 12}, "part": {"frames": 40, "prefix_of": "tum_s1_90"}}.items():
        html = make_report(read_runs([make_run(tmp_path / name, **facts)]), pictured=0).html
        assert not any(text in html for text in charts)


def test_runs_of_the_same_name_are_told_apart(tmp_path):
    runs = read_runs(
        [
            make_run(tmp_path / "a"),
            make_run(tmp_path / "b", parity=True),
            make_run(tmp_path / "c"),
            make_run(tmp_path / "x" / "c"),
            make_run(tmp_path / "other_set", dataset="sintel"),
        ]
    )
    assert [run.label for run in runs] == ["ours (a)", "ours (parity)", "ours (c) 3", "ours (c) 4", "ours"]


def test_the_command_says_again_what_was_set(tmp_path):
    facts = {
        "protocol": "video_depth",
        "dataset": "bonn_s1_100",
        "root": "my data",
        "weights": {"given": "my weights.pth", "file": "my weights.pth"},
        "name": "it's, a name=x",
        "only": ["a", "b c"],
        "every": 2,
        "parity": True,
        "dtype": "bf16",
    }
    identity = {"size": 224, "solve_pose": False, "keep": "float32"}
    program, *rest = shlex.split(command(Path("out dir"), facts, identity, {"alignments": ["metric", "scale"]}))
    assert [program, *rest[:2]] == ["python", "-m", "eval.video_depth"]
    overrides = OverridesParser.create().parse_overrides(rest[2:])
    said = {each.key_or_group: each.value() for each in overrides}
    assert {key: _plain(value) for key, value in said.items()} == {
        "dataset": "bonn_s1_100",
        "root": "my data",
        "weights": "my weights.pth",
        "name": "it's, a name=x",
        "parity": True,
        "every": 2,
        "only": ["a", "b c"],
        "dtype": "bf16",
        "size": 224,
        "depth_alignments": ["metric", "scale"],
        "out": "out dir",
    }


def _plain(value):
    return [_plain(each) for each in value] if isinstance(value, list) else getattr(value, "text", value)


def test_all_files_are_written_and_agree(tmp_path, capsys):
    runs = [make_run(tmp_path / name, level=level, name=name) for name, level in (("one", 1), ("two", 2))]
    out = tmp_path / "out"
    assert main([*map(str, runs), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "tables.csv", "tables.md", "tables.tex"]
    assert str(out / "report.html") in capsys.readouterr().out
    for run in runs:
        headline = json.loads((run / "result.json").read_text())["summary"]["sim3"]["ate"]["headline"]
        assert repr(headline) in (out / "tables.csv").read_text()
        for name in ("report.html", "tables.md", "tables.tex"):
            assert f"{headline:.3f}" in (out / name).read_text()


def test_a_wrong_folder_ends_with_a_message_and_writes_nothing(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("eval.report: there is no folder")
    assert not (tmp_path / "out").exists()


def test_reports_lie_in_the_run_or_beside_the_runs(tmp_path):
    assert default_out([tmp_path / "a"]) == (tmp_path / "a" / "report").resolve()
    assert default_out([tmp_path / "a" / "x", tmp_path / "a" / "y"]) == (tmp_path / "a" / "report").resolve()


def test_the_page_needs_nothing_from_elsewhere(tmp_path):
    html = make_report(read_runs([make_run(tmp_path / "run")]), pictured=9).html
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"|@import|url\((?!#)', html)
    assert "plotly" not in html.split("<footer>")[0]
    assert "<svg" in html


def test_failures_are_named_with_their_reason(tmp_path):
    runs = read_runs([make_run(tmp_path / "run", fail=("desk",), leave_out=("walk/1",))])
    html = make_report(runs, pictured=9).html
    assert "ValueError: the depth of desk is &lt;not&gt; finite" in html
    assert "no two successive cameras are known" in html
    assert "0 of 2 scored" in html
    assert "1 failed" in html


def test_names_are_escaped(tmp_path):
    runs = read_runs([make_run(tmp_path / "run", name="<b>&me", sequences=("<script>alert(1)", "ok"))])
    html = make_report(runs, pictured=9).html
    assert "<b>&me" not in html
    assert "<script>alert(1)" not in html
    assert "&lt;b&gt;&amp;me" in html


def test_sequences_stand_worst_first_and_only_some_have_pictures(tmp_path):
    names = [f"s{n}" for n in range(6)]
    runs = read_runs([make_run(tmp_path / "run", sequences=names)])
    html = make_report(runs, pictured=2).html
    ate = {name: runs[0].sequences[name].mean("sim3", "ate") for name in names}
    shown = re.findall(r'<details id="relpose-tum-(s\d)"', html)
    assert shown == sorted(names, key=ate.get, reverse=True)[:2]
    assert "4 better sequences have no pictures here; --pictures 6" in html
    assert all(f'<th scope="row">{name}</th>' in html for name in names)


def test_the_worst_and_the_median_sequence_are_seen_before_any_click(tmp_path):
    names = [f"s{n}" for n in range(5)]
    folders = [
        make_run(tmp_path / f"{protocol}_{label}", protocol, dataset, name=label, level=level, sequences=names)
        for protocol, dataset in (("video_depth", "bonn"), ("relpose", "tum"), ("mv_recon", "nrgbd"))
        for label, level in (("one", 0.5), ("two", 1.0))
    ]
    runs = read_runs(folders)
    html = make_report(runs, pictured=1).html
    overview = html[html.index('id="overview"') : html.index('id="video-depth-bonn"')]
    assert "<details" not in overview.split("At a glance")[1].split("<h3>")[0]
    errors = {name: runs[3].sequences[name].mean("sim3", "ate") for name in names}
    ordered = sorted(names, key=errors.get, reverse=True)
    assert f'Camera pose on TUM-dynamics, worst sequence: <a href="#relpose-tum-{ordered[0]}">' in overview
    assert f'median sequence: <a href="#relpose-tum-{ordered[2]}">' in overview
    strip = overview[overview.index("Video depth on Bonn, worst") : overview.index("Video depth on Bonn, median")]
    captions = re.findall("<figcaption>([^<,]*)", strip)
    assert captions == ["input", "ground truth", "one: prediction", "one: error", "two: prediction", "two: error"]
    assert "At a glance" not in make_report(runs, pictured=0).html


def test_sequences_are_named_in_a_plot_of_dots_and_many_are_ranked_from_1(tmp_path):
    few = make_report(read_runs([make_run(tmp_path / "a", sequences=["left", "right", "up"])]), pictured=0).html
    assert all(f">{name}</text>" in few for name in ("left", "right", "up"))
    many = [f"s{n:02}" for n in range(60)]
    html = make_report(read_runs([make_run(tmp_path / "b", sequences=many)]), pictured=0).html
    assert ">s01</text>" not in html
    chart = html[html.index("ATE of all sequences, worst first") :].split("</svg>")[0]
    assert ">1</text>" in chart
    assert ">0</text>" not in chart


def test_no_two_charts_of_one_alignment_have_the_same_title(tmp_path):
    runs = read_runs([make_run(tmp_path / str(n), dataset=f"scannet_s3_{n}") for n in (50, 100)])
    titles = re.findall(r'aria-label="([^":]*)', make_report(runs, pictured=0).html)
    assert len(titles) > 4
    assert len(set(titles)) == len(titles)


def test_many_clouds_share_the_page_s_points(tmp_path):
    runs = read_runs([make_run(tmp_path / "run", "mv_recon", "nrgbd", sequences=[f"s{n}" for n in range(8)])])
    assert len(make_report(runs, pictured=8).html) - len(make_report(runs, pictured=4).html) < 8 * 60_000


@pytest.mark.parametrize("damage", ["delete", "cut"])
def test_missing_pictures_are_said_and_the_rest_is_drawn(tmp_path, damage, capsys):
    run = make_run(tmp_path / "run")
    path = run / "look" / "desk.npz"
    path.unlink() if damage == "delete" else path.write_bytes(path.read_bytes()[:100])
    assert main([str(run), "--out", str(tmp_path / "out")]) == 0
    assert f"without pictures: {'there is no ' if damage == 'delete' else ''}{path}" in capsys.readouterr().err
    html = (tmp_path / "out" / "report.html").read_text()
    assert "There are no pictures of ours" in html
    assert "camera paths" in html


def test_a_run_in_parity_mode_is_judged(tmp_path):
    paper = {"ate": 0.046, "rpe_trans": 0.015, "rpe_rot": 0.473}
    official = {"weights": {"given": "512-dpt", "file": "cut3r_512_dpt_4_64.pth", "sha256": "1" * 64}}

    def page(name, **facts):
        run = make_run(tmp_path / name, **{"parity": True, "numbers": paper} | facts)
        return make_report([read_run(run)], pictured=0).html

    good, bad = page("a", **official), page("b", **official | {"numbers": paper | {"ate": 0.1}})
    default = page("c", **official, parity=False)
    part = page("d", **official, only=["desk"])
    assert "reproduce CUT3R" not in page("e", numbers=paper | {"ate": 0.01})  # a network of one's own, and a better one
    run = replace(read_run(tmp_path / "a"), prepared_otherwise=("desk",))
    assert ">does not reproduce CUT3R<" in make_report([run], pictured=0).html
    assert ">reproduces CUT3R<" in good
    assert ">does not reproduce CUT3R<" in bad
    assert ">does not reproduce CUT3R<" in part
    assert "reproduces CUT3R" not in default


def test_long_sets_have_curves_beside_published_ones(tmp_path):
    runs = read_runs([make_run(tmp_path / str(n), dataset=f"scannet_s3_{n}", level=n / 100) for n in (50, 100)])
    html = make_report(runs, pictured=9).html
    assert "CUT3R, published" in html
    assert "TTT3R, published" in html
    assert "ScanNet, every 3rd frame" in html
    assert "Sequences are shown for the longest set" in html


def test_a_run_without_any_score_has_a_page(tmp_path):
    html = make_report([read_run(make_run(tmp_path / "run", fail=("desk", "walk/1")))], pictured=9).html
    assert "no result" in html
    assert "2 failed" in html


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of all protocols, two systems each."""
    root = tmp_path_factory.mktemp("runs")
    folders = [
        make_run(root / f"{protocol}_{dataset}_{name}", protocol, dataset, name=name, level=level)
        for protocol, dataset in (
            ("monodepth", "bonn"),
            ("video_depth", "bonn"),
            ("relpose", "tum"),
            ("relpose", "tum_s1_50"),
            ("mv_recon", "nrgbd"),
        )
        for name, level in (("one", 0.5), ("two", 1.0))
    ]
    assert main([*map(str, folders), "--out", str(root / "out")]) == 0
    return root / "out" / "report.html"


@pytest.fixture
def page(driver, report):
    driver.get("about:blank")
    driver.get(report.as_uri())
    yield driver
    if screenshots := os.environ.get("CUT3R_SCREENSHOTS"):
        Path(screenshots).mkdir(parents=True, exist_ok=True)
        driver.save_screenshot(str(Path(screenshots) / "report.png"))


def eventually(condition, *, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still false after {seconds} s"
        time.sleep(0.05)


@browser
def test_the_page_works_offline_in_a_browser(page):
    script = page.execute_script
    folds = "document.querySelectorAll('details.sequence')"
    assert script(f"return {folds}.length") == 10
    assert script(f"return [...{folds}].some((fold) => fold.open)") is False
    for button in page.find_elements("css selector", "button.all"):
        script("arguments[0].click()", button)
    assert script(f"return [...{folds}].every((fold) => fold.open && fold.offsetHeight > 100)")
    assert script("return document.images.length") > 30
    assert script("return [...document.images].every((i) => i.complete && i.naturalWidth > 0 && i.width > 0)")
    assert script(
        "return [...document.querySelectorAll('.charts svg')].every((s) => s.getBoundingClientRect().height > 50)"
    )
    assert script("return document.documentElement.scrollWidth <= innerWidth")

    slider = "document.querySelector('.leaves input')"
    before = script("return document.querySelector('.leaves img').src")
    script(f"{slider}.value = 5; {slider}.dispatchEvent(new Event('input'))")
    assert script("return document.querySelector('.leaves output').textContent") == "5"
    assert script("return document.querySelector('.leaves img').src") != before

    rotate = page.find_element("css selector", "button.rotate")
    script("arguments[0].click()", rotate)
    eventually(lambda: script("return document.querySelectorAll('.scene .gl-container canvas').length") >= 3)
    assert rotate.text == "Back to pictures"
    plots = "[...document.querySelectorAll('.scene > div')]"
    assert script(f"return {plots}.map((plot) => plot.data[0].x.length)") == [600, 600, 600]
    eye = {"x": 0.1, "y": 0.2, "z": 2.5}
    turn = (
        "arguments[1](); Plotly.relayout(document.querySelector('.scene > div'), {'scene.camera': {eye: arguments[0]}})"
    )
    page.execute_async_script(turn, eye)
    eventually(lambda: script(f"return {plots}.map((plot) => plot.layout.scene.camera.eye.z)") == [2.5] * 3)
    colors = f"return {plots}.map((plot) => plot.data[0].marker.color.join())"
    before = script(colors)
    script("document.querySelector('.by-error').click()")
    eventually(lambda: [now != then for now, then in zip(script(colors), before, strict=True)] == [False, True, True])
    script("arguments[0].click()", rotate)
    assert script("return document.querySelectorAll('.scene').length") == 0

    requests = script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in requests if not name.startswith(("data:", "blob:"))] == []
    assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []


@browser
def test_a_link_to_a_sequence_opens_it(page):
    page.execute_script("location.hash = '#relpose-tum-walk-1'")
    eventually(lambda: page.execute_script("return document.getElementById('relpose-tum-walk-1').open"))
