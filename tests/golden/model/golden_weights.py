"""Deterministic pseudo-random weights for the parity tests.

No weight file is stored: every tensor is a fixed function of its official name and shape, so a test can rebuild the
exact checkpoint that the reference outputs in this folder were computed with.

    python golden_weights.py keys_small_dpt.json out.pth     # writes {"model": state_dict, "args": {...}, "epoch": 0}
"""

import json
import sys
import zlib

import numpy as np


def golden_tensor(name: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Return the float32 array of `shape` that belongs to the official parameter `name`.

    numpy's legacy RandomState stream is frozen, so the values are the same on every numpy version.
    """
    rng = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32)
    x = rng.standard_normal(shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "bias":
        return (0.05 * x).astype(np.float32)
    if len(shape) == 1:  # normalisation gains
        return (1.0 + 0.1 * x).astype(np.float32)
    if (
        leaf in ("mem", "masked_token", "pose_token", "masked_img_token", "masked_ray_map_token")
        or "register_tokens" in name
    ):
        return (0.5 * x).astype(np.float32)
    fan_in = int(np.prod(shape[1:]))
    if "act_postprocess" in name and name.endswith(
        ("0.1.weight", "1.1.weight")
    ):  # transposed convolutions: (in, out, k, k)
        fan_in = shape[0]
    gain = 0.4 if name.endswith(("head.4.weight", "pose_head.mlp.fc2.weight", "proj.fc2.weight")) else 1.0
    return (gain / np.sqrt(fan_in) * x).astype(np.float32)


def golden_state_dict(keys: dict[str, list[int]], seed: int = 0) -> dict[str, np.ndarray]:
    """Build the whole state dict from `keys` (official name -> shape).

    The four `...scratch.layerN_rn.weight` tensors appear twice in the official files, under `layerN_rn` and under
    `layer_rn.{N-1}`; both names hold the same tensor, so both are given the values of the first name.
    """
    out = {}
    for name, shape in keys.items():
        source = name
        if ".scratch.layer_rn." in name:
            head, index = name.split(".scratch.layer_rn.")
            source = f"{head}.scratch.layer{int(index.split('.')[0]) + 1}_rn.weight"
        out[name] = golden_tensor(source, tuple(shape), seed)
    return out


if __name__ == "__main__":
    from pathlib import Path

    import torch

    spec = json.loads(Path(sys.argv[1]).read_text())
    state = {k: torch.from_numpy(v) for k, v in golden_state_dict(spec["keys"], spec.get("seed", 0)).items()}
    torch.save({"model": state, "args": {"model": spec["model"]}, "epoch": 0}, sys.argv[2])
