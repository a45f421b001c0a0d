"""The tokens of all frames: each is encoded once, when it is first asked for, and kept on the host."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from cut3r.inference.preprocess import normalize
from cut3r.model.encoder import Tokens, ViewInput
from cut3r.model.network import Cut3r

BLOCK = 16  # frames that are encoded together


class FrameTokens:
    """What the encoder says of n frames, in half precision: 1.5 MiB each at 512x384.

    Frames are encoded in their order, as far as the last one asked for.
    """

    def __init__(self, model: Cut3r, images: UInt8[Tensor, "n h w 3"]) -> None:
        self._model, self._images = model, images
        patch = model.config.patch_size
        self._grid = (images.shape[1] // patch, images.shape[2] // patch)
        self._features: list[Tensor] = []
        self._dtype = torch.float32

    def of(self, numbers: list[int]) -> Tokens:
        """Tokens of some frames, on the network's device."""
        self._encode(max(numbers) + 1)
        wanted = torch.stack([self._features[number] for number in numbers])
        return Tokens(wanted.to(self._model.device, self._dtype), self._grid)

    def pooled(self) -> Float[Tensor, "n d"]:
        """The mean token of every frame: what is in it, rather than where in the picture."""
        self._encode(len(self._images))
        return torch.stack([features.float().mean(dim=0) for features in self._features])

    @torch.no_grad()
    def _encode(self, count: int) -> None:
        while len(self._features) < count:
            block = self._images[len(self._features) : len(self._features) + BLOCK].to(self._model.device)
            features = self._model.encode(ViewInput(image=normalize(block))).features
            self._dtype = features.dtype
            self._features.extend(features.half().cpu())
