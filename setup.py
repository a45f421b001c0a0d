"""What pyproject.toml cannot say: the programs of the repository's root travel in the wheel, in the folder cut3r/roof.

`eval`, `train` or `demo` are no names that a package may claim in everybody's site-packages. `cut3r run`, `cut3r eval`,
`cut3r train` and `cut3r data` find them there (src/cut3r/files/roof.py). An editable install takes them where they are.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROGRAMS = ("demo.py", "demo_ga.py", "train.py", "eval", "datasets_preprocess")
READ_BY_THEM = ("configs", "assets")
LEFT_OUT = {"__pycache__", "README.md", "example_ground_truth.npz"}  # the truth of the example is for tests


def roof_files() -> list[Path]:
    found = [path for name in (*PROGRAMS, *READ_BY_THEM) for path in (Path(name), *Path(name).rglob("*"))]
    return sorted(path for path in found if path.is_file() and LEFT_OUT.isdisjoint(path.parts))


class BuildWithRoof(build_py):
    def run(self) -> None:
        super().run()
        for path in [] if self.editable_mode else roof_files():
            target = Path(self.build_lib, "cut3r", "roof", path)
            self.mkpath(str(target.parent))
            self.copy_file(str(path), str(target))

    def get_source_files(self) -> list[str]:
        """Also for the source distribution."""
        return [*super().get_source_files(), *map(str, roof_files())]


setup(cmdclass={"build_py": BuildWithRoof})
