"""The documentation as a site: it builds without a warning, loads nothing from elsewhere, and no link is dead."""

import importlib.util
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from types import ModuleType, SimpleNamespace
from urllib.parse import unquote

import pytest
from mkdocs.structure.files import Files

import cut3r

ROOT = Path(__file__).parents[1]
LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]+)\"|<link\b[^>]*\brel=\"?stylesheet[^>]*\bhref=\"([^\"]+)\""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    environment = {name: value for name, value in os.environ.items() if name != "CUT3R_REPOSITORY"}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**environment, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"make docs fails; a new page belongs into the nav of mkdocs.yml:\n{done.stderr}"
    assert "WARNING" not in done.stderr, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_has_every_page_and_every_public_name(site):
    heading = (ROOT / "README.md").read_text().splitlines()[0].removeprefix("# ")
    assert f">{heading}<" in (site / "index.html").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / f"{page.stem}.html").is_file()
    api = (site / "api" / "index.html").read_text()
    for name in set(cut3r.__all__) - {"__version__"}:
        assert re.search(rf"id=\"cut3r\.[\w.]+\.{name}\"", api), f"api/index.html does not explain {name}"


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere_and_what_they_link_to_is_there(site):
    pages = {path: path.read_text() for path in site.rglob("*.html") if path.name != "404.html"}
    ids = {path: set(re.findall(r"\bid=\"?([^\s\">]+)", text)) for path, text in pages.items()}
    assert len(pages) > 30
    for path, text in pages.items():
        loaded = {first or second for first, second in LOADED.findall(text)}
        assert loaded and not [target for target in loaded if re.match(r"\w+:|//", target)], f"{path} loads {loaded}"
        for target in loaded | set(re.findall(r"<a\b[^>]*\bhref=\"([^\"]+)\"", text)):
            file, _, anchor = unquote(unescape(target)).partition("#")
            if re.match(r"\w+:", file):
                continue
            there = (path.parent / file).resolve() if file else path
            assert there.exists(), f"{path} links to {target}"
            assert not anchor or anchor in ids.get(there, anchor), f"{path} links to {target}, which has no such place"


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pages_of_the_site", ROOT / "docs" / "site" / "pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("page", "link", "changed"),
    [
        ("speed.md", "[x](../eval/systems/base.py)", "[x](https://here/cut3r/blob/main/eval/systems/base.py)"),
        ("speed.md", "[x](../eval)", "[x](https://here/cut3r/tree/main/eval)"),
        ("speed.md", "[x](../src/cut3r/model/state.py)", "[x](api/model.md#cut3r.model.state)"),
        ("speed.md", "[x](../src/cut3r/model)", "[x](api/model.md)"),
        ("speed.md", "[x](../benchmarks/README.md#what)", "[x](benchmarks.md#what)"),
        ("speed.md", "[x](data.md#what)", "[x](data.md#what)"),
        ("speed.md", "[x](https://else/where.md)", "[x](https://else/where.md)"),
        ("speed.md", "`[x](../eval)`", "`[x](../eval)`"),
        ("index.md", "![x](docs/pictures/step.svg)", "![x](pictures/step.svg)"),
        ("index.md", '<img alt="" src="docs/pictures/step.svg">', '<img alt="" src="pictures/step.svg">'),
        ("index.md", "[x](LICENSE)", "[x](https://here/cut3r/blob/main/LICENSE)"),
    ],
)
def test_links_of_the_repository_become_those_of_the_site(hook, page, link, changed):
    config, shown = SimpleNamespace(repo_url="https://here/cut3r/"), SimpleNamespace(file=SimpleNamespace(src_uri=page))
    assert hook.on_page_markdown(link, shown, config, Files([])) == changed
