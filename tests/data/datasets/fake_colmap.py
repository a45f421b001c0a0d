"""A program that takes the place of COLMAP's command line: it insists on the arguments, and gives depth from files.

FAKE_COLMAP names a folder with <name of the picture>.npy; what it was called with goes to calls.txt in it.
"""

import os
import stat
import sys
from pathlib import Path

import numpy as np

SCRIPT = """#!{python}
import os, sys
from pathlib import Path
import numpy as np

truth, command = Path(os.environ["FAKE_COLMAP"]), sys.argv[1]
with (truth / "calls.txt").open("a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
if command == "-h":
    print("COLMAP 3.9.1 -- Structure-from-Motion and Multi-View Stereo\\n(Commit 1 on 2024-01-01 {cuda} CUDA)")
elif command == "image_undistorter":
    workspace = Path(options["--output_path"])
    assert options["--output_type"] == "COLMAP" and (Path(options["--input_path"]) / "cameras.bin").is_file()
    names = [path.relative_to(truth).as_posix()[:-4] for path in truth.rglob("*.npy")]
    for name in names:
        assert (Path(options["--image_path"]) / name).is_file(), name
        (workspace / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / "images" / name).write_bytes(b"undistorted")
    for folder in ("sparse", "stereo/depth_maps"):
        (workspace / folder).mkdir(parents=True)
    (workspace / "stereo/patch-match.cfg").write_text("".join(name + "\\n__auto__, 20\\n" for name in names))
elif command == "patch_match_stereo":
    workspace = Path(options["--workspace_path"])
    assert options["--workspace_format"] == "COLMAP" and options["--PatchMatchStereo.geom_consistency"] == "true"
    if (truth / "fail").exists():
        sys.exit("out of memory")
    for name in (workspace / "stereo/patch-match.cfg").read_text().splitlines()[::2]:
        assert (workspace / "images" / name).read_bytes() != b"undistorted", "the original photos are used"
        depth = np.load(truth / (name + ".npy")).astype("<f4")
        path = workspace / "stereo/depth_maps" / (name + ".geometric.bin")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d&%d&1&" % depth.shape[::-1] + depth.tobytes())
else:
    sys.exit("no such command " + command)
"""


def install(folder: Path, depths: dict[str, np.ndarray], monkeypatch, *, cuda: str = "with") -> Path:
    """Put it on the PATH; give the folder with its depth maps and calls."""
    truth, program = folder / "truth", folder / "bin" / "colmap"
    for name, depth in depths.items():
        (truth / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(truth / f"{name}.npy", depth)
    truth.mkdir(exist_ok=True)
    program.parent.mkdir()
    program.write_text(SCRIPT.replace("{python}", sys.executable).replace("{cuda}", cuda))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_COLMAP", str(truth))
    return truth
