"""Statistics of attention: those of the maps, without the maps."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cut3r.rules.entropy import LARGEST_MAP, entropy_in_parts, fused_entropy, mean_entropy
from cut3r.rules.statistics import LogitStatistics, Statistic, explicit_logits


class LargestTensor(TorchDispatchMode):
    """Watches how many numbers the largest tensor has that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for each in made if isinstance(made, tuple | list) else (made,):
            if isinstance(each, torch.Tensor):
                self.numbers = max(self.numbers, each.numel())
        return made


def queries_and_keys(*, b=2, heads=4, s=6, m=9, c=8, scale=1.0):
    draw = torch.Generator().manual_seed(0)
    return tuple(scale * torch.randn(b, heads, tokens, c, generator=draw) for tokens in (s, m))


def explicit_entropy(q, k):
    """By the definition: softmax over the patches, logarithms of at least 1e-12, clamped per head, then the mean."""
    share = explicit_logits(q, k[:, :, 1:]).double().softmax(dim=-1)
    entropy = -(share * share.clamp_min(1e-12).log()).sum(dim=-1) / math.log(share.shape[-1])
    return entropy.clamp(0, 1).mean(dim=1).float()


def test_statistics_are_those_of_the_maps():
    layers = [queries_and_keys(scale=1 + layer) for layer in range(3)]
    statistics = LogitStatistics(frozenset(Statistic))
    for q, k in layers:
        statistics.add(q, k)
    maps = torch.stack([explicit_logits(q, k) for q, k in layers])  # layer b head s m
    torch.testing.assert_close(statistics[Statistic.mean_logit], maps.mean(dim=(0, 2, 4)), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(statistics[Statistic.mean_logits], maps[..., 1:].mean(dim=(0, 2)), atol=1e-6, rtol=1e-5)
    entropy = torch.stack([explicit_entropy(q, k) for q, k in layers]).mean(dim=0)
    torch.testing.assert_close(statistics[Statistic.entropy], entropy, atol=2e-6, rtol=0)


@pytest.mark.parametrize("scale", [0.0, 1.0, 6.0])
@pytest.mark.parametrize("size", [{}, {"heads": 16, "s": 70, "m": 131, "c": 48}, {"b": 1, "m": 2}])
def test_both_ways_to_the_entropy_are_that_of_the_maps(scale, size):
    """From attention that sees everything alike (0) to attention that sees few patches (6)."""
    q, k = queries_and_keys(scale=scale, **size)
    expected = explicit_entropy(q, k) if k.shape[2] > 2 else torch.zeros(1, 6)  # one patch: nothing to choose
    torch.testing.assert_close(mean_entropy(q, k[:, :, 1:]), expected, atol=1e-5, rtol=0)
    scaled = q * q.shape[-1] ** -0.5
    one, other = fused_entropy(scaled, k[:, :, 1:]), entropy_in_parts(scaled, k[:, :, 1:], largest_map=1)
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(entropy_in_parts(scaled, k[:, :, 1:]), other, atol=0, rtol=0)


def test_entropy_of_bfloat16_is_computed_in_float32():
    q, k = (tensor.bfloat16() for tensor in queries_and_keys(s=20, m=40))
    entropy = mean_entropy(q, k[:, :, 1:])
    assert entropy.dtype is torch.float32
    torch.testing.assert_close(entropy, explicit_entropy(q.float(), k.float()), atol=1e-5, rtol=0)


def test_no_map_of_all_heads_is_ever_made():
    """As for a 512x384 frame through the published network: 16 heads, 768 state tokens, 768 patches and the pose."""
    q, k = queries_and_keys(b=1, heads=16, s=768, m=769, c=48)
    map_of_all, patches = 16 * 768 * 768, 768 * 768
    with LargestTensor() as watch, torch.inference_mode():
        LogitStatistics(frozenset(Statistic)).add(q, k)
    assert watch.numbers <= 16 * 769 * 48, "the keys themselves are the largest"
    with LargestTensor() as watch, torch.inference_mode():
        entropy_in_parts(q, k[:, :, 1:])
    assert patches < watch.numbers <= LARGEST_MAP < map_of_all
    with LargestTensor() as watch, torch.inference_mode():
        explicit_logits(q, k)
    assert watch.numbers > map_of_all, "the watch sees maps"
