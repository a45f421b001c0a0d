"""How to make a run again: its command line, from what the run's folder remembers."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cut3r.training.overrides import quoted

PLAIN = re.compile(r"[\w./+@%-]+")  # what Hydra reads without quotes

# settings in which a run may differ from the defaults of eval/config.py: in the facts, in the identity
FACTS = {
    "parity": False,
    "complete": True,
    "every": 1,
    "only": [],
    "lengths": [],
    "update": "overwrite",
    "reset": "off",
    "joint": "se3",
    "overlap": 8,
    "keyframes": "all",
    "loops": False,
    "revisit": 1,
    "freeze": False,
    "dtype": "fp32",
    "layout": "saved",
}
IDENTITY = {"size": None, "solve_pose": False, "keep": "float32"}
ALIGNMENTS = {"monodepth": "depth_alignments", "video_depth": "depth_alignments", "mv_recon": "recon_alignments"}
SCORING = {"conf_thresh": 0.0, "voxel_m": None}  # the grid is said in any case: its default depends on the views


def command(
    folder: Path, facts: Mapping[str, Any], identity: Mapping[str, Any], settings: Mapping[str, Any] | None = None
) -> str:
    """The command that makes a run, or finishes it.

    Args:
        settings: How its sequences were scored, if one was.
    """
    if "root" not in facts:
        return f"run the program that made {folder} (an EvaluationRun with a system of its own)"
    if "prefix_of" in facts:  # the run that has this one's predictions
        facts, folder = {**facts, "dataset": facts["prefix_of"]}, folder.parents[1]
    said: dict[str, object] = {"dataset": facts["dataset"], "root": facts["root"]}
    weights = facts.get("weights")
    said |= {"weights": weights["given"]} if weights else {"predictions": facts["predictions"]}
    said |= {"name": facts["name"]}
    said |= _changed(FACTS, facts) | (_changed(IDENTITY, identity) if weights else {})
    if settings:
        flag = ALIGNMENTS.get(facts["protocol"])
        said |= {flag: settings["alignments"]} if flag else {}
        said |= _changed(SCORING, settings)
    said["out"] = str(folder)
    words = [shlex.quote(f"{key}={_hydra(value)}") for key, value in said.items()]
    return " ".join([f"python -m eval.{facts['protocol']}", *words])


def _changed(defaults: Mapping[str, object], values: Mapping[str, Any]) -> dict[str, object]:
    return {key: values[key] for key, default in defaults.items() if values.get(key, default) != default}


def _hydra(value: object) -> str:
    """A value in the grammar of Hydra's overrides."""
    if isinstance(value, list):
        return "[" + ",".join(_hydra(each) for each in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return text if PLAIN.fullmatch(text) else quoted(text)
