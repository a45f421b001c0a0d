"""The networks to measure. Their weights are random: speed and memory do not depend on the values."""

import torch

from cut3r.model.config import (
    DecoderConfig,
    EncoderConfig,
    ModelConfig,
    StateConfig,
    published_224_linear,
    published_512_dpt,
)
from cut3r.model.network import Cut3r
from cut3r.model.prediction import Outputs


def tiny() -> ModelConfig:
    """The real architecture at a size that runs in milliseconds, for measuring everything around the network."""
    return ModelConfig(
        image_size=(48, 64),
        encoder=EncoderConfig(width=64, depth=2, heads=4, ray_heads=4),
        decoder=DecoderConfig(width=32, depth=4, heads=4, state_heads=2),
        state=StateConfig(tokens=12, memory_slots=6),
        dpt_features=16,
        dpt_stages=(8, 8, 16, 16),
    )


CONFIGS = {"512-dpt": published_512_dpt, "224-linear": published_224_linear, "tiny": tiny}

HEADS = {
    "none": Outputs.none(),  # only advance the state
    "points": Outputs(),  # camera points and pose: what a reconstruction needs
    "world": Outputs(points_cam=True, points_world=True, pose=True),
    "all": Outputs.all(),
}


def random_network(config: ModelConfig, device: torch.device) -> Cut3r:
    """Make the same network at each call, ready for inference."""
    torch.manual_seed(0)
    return Cut3r(config).eval().to(device)
