"""MkDocs hook: the site beside docs/*.md, and links that lead from pages to the code.

README.md becomes the first page; other texts of the repository and the API, from docstrings, become pages, too.
Markdown keeps the links that GitHub follows; here each becomes one that holds in the site: to a page, to the API, or
else to the repository (`repo_url`), and where that is unknown to a copy of the file.
"""

import ast
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from posixpath import normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
TEXTS = {  # of the repository: of the site
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
    "datasets_preprocess/README.md": "datasets_preprocess.md",
}
ROOMS = ("inference", "rules", "io", "geometry", "model", "weights", "alignment", "export")
BRANCH = "main"
LINK = re.compile(r"(?P<before>\]\(|<img[^>]+src=\")(?P<target>[^)\s\"#]+)(?P<anchor>#[^)\s\"]*)?(?=[)\"])")
FENCE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.M | re.S)
CODE = {".md": "markdown", ".py": "python", ".yaml": "yaml", ".toml": "toml", ".cu": "cuda", ".txt": "text", "": "text"}
ELSEWHERE = "    options:\n      skip_local_inventory: true\n"  # references lead to the page of its room
HIDDEN = "---\nsearch:\n  exclude: true\n---\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of docs/."""
    for path, uri in TEXTS.items():
        files.append(File.generated(config, uri, content=(ROOT / path).read_text(encoding="utf-8")))
    files.append(File.generated(config, "api/index.md", content=_public_names()))
    for room in ROOMS:
        files.append(File.generated(config, f"api/{room}.md", content=_room(room)))
    for path in sorted(_linked(files)) if not config.repo_url else []:
        files.append(_copy(ROOT / path, config))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links of the repository those of the site."""
    uri = page.file.src_uri
    origin = _origin(uri)
    if origin is None:
        return markdown

    def replaced(match: re.Match[str]) -> str:
        path = _target(origin, match["target"])
        anchor = match["anchor"] or ""
        return match[0] if path is None else f"{match['before']}{_place(path, anchor, uri, config)}"

    return _outside_code(markdown, lambda text: LINK.sub(replaced, text))


def _origin(uri: str) -> str | None:
    """The file of the repository that a page shows, relative to its root; None for generated ones."""
    of_texts = {page: path for path, page in TEXTS.items()}
    return of_texts.get(uri) or (f"docs/{uri}" if (ROOT / "docs" / uri).is_file() else None)


def _target(origin: str, target: str) -> str | None:
    """What a link means, relative to the repository's root; None for another site."""
    return None if re.match(r"[a-z]+:", target) else normpath(f"{Path(origin).parent.as_posix()}/{target}")


def _place(path: str, anchor: str, uri: str, config: MkDocsConfig) -> str:
    """The link from a page to where the site has a file or folder of the repository."""
    module = re.fullmatch(r"src/cut3r/(\w+)(?:/(\w+)\.py)?", path)
    if module and module[1] in ROOMS:
        there = f"api/{module[1]}.md" + (
            f"#cut3r.{module[1]}.{module[2]}" if module[2] not in (None, "__init__") else ""
        )
    elif path in TEXTS:
        there = TEXTS[path] + anchor
    elif path.startswith("docs/"):
        there = path.removeprefix("docs/") + anchor
    elif config.repo_url:
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{config.repo_url.rstrip('/')}/{kind}/{BRANCH}/{path}{anchor}"
    else:
        there = _copied(path)
    return relpath(there, os.path.dirname(uri) or ".")


def _copied(path: str) -> str:
    is_page = (ROOT / path).is_dir() or Path(path).suffix in CODE
    return f"code/{path}.md" if is_page else f"code/{path}"


def _linked(files: Files) -> Iterator[str]:
    """Files and folders outside the site that its pages link to."""
    found = set()
    for file in files.documentation_pages():
        origin = _origin(file.src_uri)
        for text in FENCE.split(file.content_string)[::2] if origin else []:
            for match in LINK.finditer(text):
                path = _target(origin, match["target"])
                if path and path not in TEXTS and not path.startswith("docs/"):
                    found.add(path)
    api = re.compile(rf"src/cut3r/({'|'.join(ROOMS)})(/\w+\.py)?")
    return (path for path in found if not api.fullmatch(path))


def _copy(path: Path, config: MkDocsConfig) -> File:
    name = path.relative_to(ROOT).as_posix()
    if path.is_dir():
        lines = [f"- `{part.name}`{_subject(part)}" for part in sorted(path.iterdir()) if part.name[0] not in "._"]
        text = f"{HIDDEN}# {name}\n\n" + "\n".join(lines)
    elif path.suffix in CODE:
        text = f"{HIDDEN}# {name}\n\n````{CODE[path.suffix]}\n{path.read_text(encoding='utf-8')}\n````\n"
    else:
        return File.generated(config, _copied(name), abs_src_path=str(path))
    return File.generated(config, _copied(name), content=text, inclusion=InclusionLevel.NOT_IN_NAV)


def _public_names() -> str:
    """A page with what `import cut3r` gives, named by where it is: the analysis follows no imports on first use."""
    tree = ast.parse((ROOT / "src" / "cut3r" / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    homes = {alias.asname: node.module for node in imports for alias in node.names if alias.asname}
    intro = "# The names of `cut3r`\n\nWhat programs import. How they work together: [streaming](../streaming.md).\n"
    return intro + "".join(f"\n::: {homes[name]}.{name}\n{ELSEWHERE}" for name in sorted(homes, key=str.casefold))


def _room(room: str) -> str:
    """A page with all modules of a room."""
    modules = [path for path in sorted((ROOT / "src" / "cut3r" / room).glob("*.py")) if path.stem != "__init__"]
    names = [f"cut3r.{room}.{path.stem}" for path in modules]
    rows = [f"| [`{path.stem}`](#{name}) |{_subject(path)} |" for path, name in zip(modules, names, strict=True)]
    table = "\n".join(["| | |", "|---|---|", *rows])
    return f"# cut3r.{room}\n\n{table}\n" + "".join(f"\n::: {name}\n" for name in names)


def _subject(path: Path) -> str:
    """The first line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.suffix == ".py" else None
    return f" {text.splitlines()[0]}" if text else ""


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    parts = FENCE.split(markdown)
    return "".join(part if number % 2 else change(part) for number, part in enumerate(parts))
