"""What all tests share: one hypothesis profile, one thread per worker, the folder of recorded numbers."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from cut3r.model.config import ModelConfig
    from cut3r.model.network import Cut3r

settings.register_profile(
    "cut3r", deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("cut3r")

torch.set_num_threads(1)  # the test workers already fill the cores, and tiny networks gain nothing from more

GOLDEN = Path(__file__).parent / "golden"
FOOTAGE = Path(__file__).parents[2] / "shared" / "examples"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    without_gpu = pytest.mark.skip(reason="SKIPPED LOUDLY: no CUDA device, the GPU path is not verified by this run")
    without_footage = pytest.mark.skip(reason=f"SKIPPED LOUDLY: the example footage is not at {FOOTAGE}")
    for item in items:
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(without_gpu)
        if "footage" in item.keywords and not FOOTAGE.is_dir():
            item.add_marker(without_footage)


@pytest.fixture
def golden() -> Path:
    """The folder of recorded inputs and outputs; its README says where each file comes from."""
    return GOLDEN


@pytest.fixture
def footage() -> Path:
    """Real photos and video, outside the repository; mark the test with @pytest.mark.footage."""
    return FOOTAGE


def tiny_config(head: str = "dpt") -> "ModelConfig":
    """A network of the real architecture that runs in milliseconds."""
    from cut3r.model.config import DecoderConfig, EncoderConfig, HeadKind, ModelConfig, StateConfig

    return ModelConfig(
        head=HeadKind(head),
        image_size=(48, 64),
        encoder=EncoderConfig(width=64, depth=2, heads=4, ray_heads=4),
        decoder=DecoderConfig(width=32, depth=4, heads=4, state_heads=2),
        state=StateConfig(tokens=12, memory_slots=6),
        dpt_features=16,
        dpt_stages=(8, 8, 16, 16),
    )


@pytest.fixture(params=["dpt", "linear"])
def tiny_model(request: pytest.FixtureRequest) -> "Cut3r":
    """A new random network for each test, with either head."""
    return make_tiny(request.param)


@pytest.fixture
def tiny_linear() -> "Cut3r":
    """A new random network with the cheap head, for tests that are not about heads."""
    return make_tiny("linear")


def make_tiny(head: str) -> "Cut3r":
    from cut3r.model.network import Cut3r

    torch.manual_seed(0)
    return Cut3r(tiny_config(head)).eval()
