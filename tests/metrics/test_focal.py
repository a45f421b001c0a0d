"""Errors of focal lengths."""

import pytest
import torch

from cut3r.geometry.cameras import pinhole
from cut3r.metrics.focal import focal_error


def test_the_error_is_relative_and_the_principal_point_does_not_matter():
    true = pinhole((100, 200), 150.0).expand(2, 3, 3)
    said = torch.stack((pinhole((100, 200), 165.0, (3.0, 4.0)), pinhole((100, 200), 75.0)))
    assert focal_error(said, true).tolist() == pytest.approx([0.1, 0.5])


def test_both_axes_count():
    said = torch.tensor([[220.0, 0, 0], [0, 200, 0], [0, 0, 1]])
    assert float(focal_error(said, pinhole((10, 10), 200.0))) == pytest.approx(0.05)
