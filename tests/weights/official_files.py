"""Files in the official layout for the tests: small networks with weights that are a function of their names."""

import json
import re
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from tests.golden.model.golden_weights import golden_state_dict

GOLDEN = Path(__file__).parents[1] / "golden"
SPECS = {
    "512-dpt": "checkpoints/cut3r_512_dpt_4_64.json",
    "224-linear": "checkpoints/cut3r_224_linear_4.json",
    "small-dpt": "model/keys_small_dpt.json",
    "small-linear": "model/keys_small_linear.json",
}


@cache
def spec(name: str) -> dict:
    """`model`: the constructor string; `keys`: official name -> shape."""
    return json.loads((GOLDEN / SPECS[name]).read_text())


# The small network with linear heads, cut down further: one block in the encoder, two layers in the decoder.
CONSTRUCTOR = spec("small-linear")["model"].replace("enc_depth=3", "enc_depth=1").replace("dec_depth=4", "dec_depth=2")


@cache
def _short_linear() -> dict[str, Tensor]:
    left_out = re.compile(r"enc_blocks\.[12]\.|dec_blocks(_state)?\.[23]\.")
    keys = {name: shape for name, shape in spec("small-linear")["keys"].items() if not left_out.match(name)}
    return {name: torch.from_numpy(entry) for name, entry in golden_state_dict(keys).items()}


def short_linear() -> dict[str, Tensor]:
    """All entries of the network of `CONSTRUCTOR`. The dict is the caller's, the tensors are shared."""
    return dict(_short_linear())


def hollow(name: str) -> dict[str, Tensor]:
    """Entries of the right shapes that take no memory, and hardly any space when saved: each has one value."""
    return {key: torch.zeros(1).expand(shape) for key, shape in spec(name)["keys"].items()}


def write(path: Path, entries: dict[str, Tensor], *, args: object = None, **more: object) -> Path:
    """Save as the original does; `args` is a plain dict here unless it is given."""
    args = {"model": CONSTRUCTOR} if args is None else args
    torch.save({"args": args, "model": entries, "epoch": 0, **more}, path)
    return path
