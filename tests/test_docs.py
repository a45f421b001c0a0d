"""The code in README.md and docs/ runs, the commands parse, the links lead somewhere.

Python blocks of a page run in order, in one namespace, in a folder with what the pages name: checkpoints (of a tiny
random network), a video, photos, a recording with depth. A block that cannot run says why in a comment directly above:
<!-- not run: needs a webcam -->
"""

import argparse
import importlib
import importlib.util
import logging
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from accelerate.commands.launch import launch_command_parser
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from PIL import Image
from torch.distributed.run import get_args_parser as torchrun_parser

import datasets_preprocess.__main__ as datasets_preprocess
import demo
import demo_ga
import eval.__main__ as eval_main
import eval.prepare.__main__ as eval_prepare
import eval.report.__main__ as eval_report
import train
from cut3r.data.walks import WalkConfig
from cut3r.model.config import published_512_dpt
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs
from cut3r.run import command as cut3r_command
from cut3r.run.flags import add_of_stream
from cut3r.training.config import TrainConfig
from cut3r.weights import zoo
from cut3r.weights.checkpoint import save
from datasets_preprocess import cards
from eval.sequences import rooms
from eval.systems import baselines
from tests.eval.recordings import write_recordings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md")), *ROOT.glob("tests/golden/**/*.md")]
FENCE = re.compile(r"(?:<!-- not run: (?P<reason>.+?) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```", re.M | re.S)
PREPARATIONS = {"cd", "git", ".", "source"}  # commands about the shell and not about this project


@dataclass(frozen=True)
class Block:
    code: str
    line: int


def blocks(page: Path, language: str) -> list[Block]:
    """The blocks of a page that are to run."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    return [
        Block(match["code"], text.count("\n", 0, match.start("code")) + 1)
        for match in FENCE.finditer(text)
        if match["language"] == language and match["reason"] is None
    ]


def commands(page: Path) -> list[list[str]]:
    """The commands of a page's bash blocks as words, without activation paths: python, pip, make, ..."""
    lines = [line for block in blocks(page, "bash") for line in block.code.replace("\\\n", " ").splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [[re.sub(r"^(\.venv/bin/)?(python|pip)3?$", r"\2", line[0]), *line[1:]] for line in words if line]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def workplace(tmp_path: Path, tiny_linear: Cut3r) -> Path:
    """A folder with what the pages name: official checkpoints, kitchen.mp4, photos, list.txt, recordings."""
    with torch.no_grad():  # points in front of the camera, with confidence
        last = tiny_linear.heads.points_cam.mlp.fc2
        last.weight.mul_(0.1)
        last.bias.view(4, -1).copy_(torch.tensor([[0.0], [0.0], [0.7], [1.0]]).expand(4, last.bias.numel() // 4))
    save(tiny_linear, tmp_path / "weights.safetensors")
    for official in zoo.OFFICIAL.values():  # what a file is, is judged by its content
        shutil.copy(tmp_path / "weights.safetensors", tmp_path / official.file)
    writer = cv2.VideoWriter(str(tmp_path / "kitchen.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (128, 96))
    (tmp_path / "photos").mkdir()
    for number, name in enumerate("abcdef"):
        picture = cv2.resize(np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8), (128, 96))
        writer.write(picture)
        Image.fromarray(picture).save(tmp_path / "photos" / f"{name}.jpg")
    writer.release()
    write_recordings(tmp_path / "recordings", names=("kitchen",), frames=4)
    (tmp_path / "list.txt").write_text("photos/a.jpg\nphotos/b.jpg\n")
    return tmp_path


@pytest.fixture
def here(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stand in the prepared folder, where the zoo finds its networks without a download."""
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("CUT3R_HOME", str(workplace))
    monkeypatch.setattr(rooms, "WALKS", 1)
    monkeypatch.setattr(rooms, "CONFIG", WalkConfig(size=(48, 64), frames=10))
    monkeypatch.setattr(baselines, "MEAN_WALKS", 2)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield workplace
    root.handlers[:], root.level = handlers, level  # scripts set up logging


def run_demo(words: list[str]) -> None:
    """Run a command unless it needs a camera. Commands that name no folder are alternatives: each gets its own."""
    args = demo.parse_args(words)
    if args.seq_path.startswith("camera:") or "://" in args.seq_path:
        return
    folder = [] if "--output_dir" in words else ["--output_dir", tempfile.mkdtemp(dir=".")]
    assert demo.main([*words, *folder, "--no-viewer", "--device", "cpu"]) == 0, f"demo.py {shlex.join(words)}"


def run_module(words: list[str]) -> None:
    if words[0] == "cut3r.weights.zoo":
        zoo.main(words[1:])
    else:
        assert importlib.util.find_spec(words[0]) is not None, f"there is no module {words[0]}"


def check_pip(words: list[str]) -> None:
    assert words[0] == "install"
    for flag, value in pairwise(words):
        assert flag not in ("-r", "-c") or (ROOT / value).is_file(), f"there is no {value}"


def check_make(words: list[str]) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    for word in words:
        if word.startswith("ARGS="):
            demo_words = shlex.split(word.removeprefix("ARGS=")) if "demo" in words else []
            if demo_words and demo_words != ["--help"]:
                run_demo(demo_words)
        elif not word.startswith("-"):
            assert word in targets, f"the Makefile has no target {word}"


def check_training(words: list[str]) -> None:
    """The recipe exists and its settings fit together; of a sweep, the first value."""
    if "--multirun" in words:
        words = [word.split(",")[0] for word in words if word != "--multirun"]
    _, name, *changes = train.with_config_name(words)
    ConfigStore.instance().store(name="schema", node=TrainConfig)
    with initialize_config_dir(str(train.CONFIGS), version_base="1.3"):
        train.settings(compose(name, changes))


def check_launch(arguments: argparse.Namespace) -> None:
    """The parser of a launcher has understood its part; the rest is for train.py."""
    assert arguments.training_script == "train.py"
    check_training(arguments.training_script_args)


def run_command(words: list[str]) -> None:
    match words:
        case ["make", *rest]:
            check_make(rest)
        case ["pip", *rest] | ["python", "-m", "pip", *rest]:
            check_pip(rest)
        case ["python", "-m", "venv", _]:
            pass
        case ["python", "demo.py", *rest]:
            if rest != ["--help"]:
                run_demo(rest)
        case ["python", "train.py", *rest]:
            check_training(rest)
        case ["torchrun", *rest]:
            check_launch(torchrun_parser().parse_args(rest))
        case ["accelerate", "launch", *rest]:
            check_launch(launch_command_parser().parse_args(rest))
        case ["tensorboard", "--logdir", _]:
            pass
        case ["cut3r", name, *rest]:
            importlib.import_module(cut3r_command.COMMANDS[name]).parse_args(rest)
        case ["python", "-m", "datasets_preprocess", *rest]:
            datasets_preprocess.parse_args(rest)
        case ["python", "-m", "eval.prepare", *rest]:
            eval_prepare.parse_args(rest)
        case ["python", "-m", "eval.report", *rest]:
            assert eval_report.main(rest) == 0
        case ["python", "-m", "eval", *rest]:
            assert eval_main.main(rest) == 0, shlex.join(words)
        case ["python", "-m", *rest]:
            run_module(rest)
        case ["python", script, *_]:
            assert (ROOT / script).is_file(), f"there is no {script}"
        case [name, *_]:
            assert name in PREPARATIONS, (
                f"do not know how to check the command {name!r}; put <!-- not run: why --> above its block"
            )


@pytest.mark.parametrize("page", cards.PAGES, ids=named)
def test_tables_of_datasets_are_those_of_the_cards(page):
    text = page.read_text()
    assert cards.PLACE.search(text) and cards.renewed(text) == text, "run python -m datasets_preprocess.cards"


@pytest.mark.parametrize("card", cards.cards(), ids=lambda card: card.slug)
def test_the_card_of_a_dataset_says_what_differs(card):
    assert card.differs and all(card.differs), f"the card of {card.slug} does not say what parity repeats"


def test_there_is_a_readme():
    assert (ROOT / "README.md").is_file()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_commands_and_the_code_of_a_page_run(page, here):
    """Commands first: pages show how to make a file before they open it."""
    for words in commands(page):
        run_command(words)
    namespace: dict[str, object] = {"__name__": "page"}
    for block in blocks(page, "python"):
        code = block.code if torch.cuda.is_available() else block.code.replace('"cuda"', '"cpu"')
        padded = "\n" * (block.line - 1) + code  # so that a traceback names the line of the page
        exec(compile(padded, str(page), "exec"), namespace)


def test_the_quickstart_runs_the_demo_for_real():
    runs = [words for words in commands(ROOT / "docs" / "quickstart.md") if words[:2] == ["python", "demo.py"]]
    assert len(runs) > 5


def demo_flags(
    capsys: pytest.CaptureFixture[str], extend: Callable[[argparse.ArgumentParser], None] | None = None
) -> set[str]:
    with pytest.raises(SystemExit):
        demo.parse_args(["--help"], extend=extend)
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]*", capsys.readouterr().out)) - {"--help"}


def command_flags(capsys: pytest.CaptureFixture[str], name: str) -> set[str]:
    """Those of `cut3r NAME`."""
    with pytest.raises(SystemExit):
        cut3r_command.main([name, "--help"])
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]*", capsys.readouterr().out))


def test_the_quickstart_explains_every_flag(capsys):
    text = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    mentioned = {flag.replace("_", "-") for flag in re.findall(r"`(--[a-z][\w-]*)", text)}
    missing = {flag for flag in demo_flags(capsys, add_of_stream) if flag.replace("_", "-") not in mentioned}
    assert not missing, f"docs/quickstart.md does not explain {sorted(missing)}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_flags_in_the_text_exist(page, capsys):
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    mentioned = set(re.findall(r"`(--[a-z][\w-]*)", text))
    commands = (command_flags(capsys, name) for name in cut3r_command.COMMANDS)
    of_stream = demo_flags(capsys, add_of_stream)
    assert mentioned <= demo_flags(capsys, demo_ga.add_flags).union(of_stream, *commands)


@pytest.mark.parametrize("page", LINKED, ids=named)
def test_links_and_pictures_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"<img[^>]+src=\"([^\"]+)\"", text)
    for target in targets:
        if re.match(r"[a-z]+:", target):  # another site
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{named(page)} links to {target}"
        assert not anchor or anchor in anchors(path), f"{named(page)} links to {target}, which has no such heading"


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to headings."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.slow
def test_the_cost_per_frame_is_counted():
    from benchmarks.flops import gflop_per_frame

    text = (ROOT / "docs" / "how_it_works.md").read_text(encoding="utf-8")
    assert f"**{gflop_per_frame(published_512_dpt(), (384, 512), Outputs.all()):,.0f}**" in text
