"""Cut3r: a view and a state in, a prediction and the next state out.

Everything that runs the network (training, streaming, revisiting, querying) is a caller of `encode` and `step`.

Source: Continuous 3D Perception Model with Persistent State (arXiv 2501.12387).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from cut3r.model.blocks import MATRIX_LAYERS
from cut3r.model.config import ModelConfig
from cut3r.model.decoder import Decoder
from cut3r.model.encoder import Combine, Tokens, ViewEncoder, ViewInput
from cut3r.model.heads import Heads
from cut3r.model.initialize import initialize
from cut3r.model.memory import PoseMemory
from cut3r.model.prediction import Outputs, Prediction
from cut3r.model.state import StreamState, blend, merge
from cut3r.model.update import OVERWRITE, UpdateRule, Writing


@dataclass(frozen=True)
class Rollout:
    """`predictions`, one per view, and `states`: before the first view and after each, or only the last one."""

    predictions: list[Prediction]
    states: list[StreamState]


class Cut3r(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ViewEncoder(config)
        self.decoder = Decoder(config)
        self.memory = PoseMemory(config)
        self.heads = Heads(config)
        initialize(self)

    @property
    def device(self) -> torch.device:
        return self.memory.slots.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the matrix products; states, norms, poses, ray maps and outputs are float32 in any case."""
        return self.memory.key.weight.dtype

    def to_dtype(self, dtype: torch.dtype) -> "Cut3r":
        """Convert the weights of the matrix products in place.

        Norms, tokens, and the layers that read or give metres stay in float32: the patches of ray maps, the pose head
        and the last layer of each dense head.

        Raises:
            ValueError: A type that the network does not run in, or packed weights.
        """
        if len({entry.is_meta for entry in self.parameters()}) > 1:
            raise ValueError("some weights hold no numbers (they are packed): load the network again in the other type")
        if dtype not in (torch.float32, torch.bfloat16, torch.float16):
            raise ValueError(f"dtype {dtype} is not supported; use torch.float32, torch.bfloat16 or torch.float16")
        exact = self.heads.exact_layers() | {self.encoder.rays.patch}
        for module in self.modules():
            if isinstance(module, MATRIX_LAYERS) and module not in exact:
                module.to(dtype)
        return self

    def initial_state(self, batch_size: int = 1, rule: UpdateRule = OVERWRITE) -> StreamState:
        """The state of streams that have seen nothing, and will be written by a rule."""
        is_new = torch.ones(batch_size, dtype=torch.bool, device=self.device)
        buffers = rule.initial_buffers(batch_size, self.config, self.device)
        return StreamState(self.decoder.initial(batch_size), self.memory.initial(batch_size), is_new, buffers)

    def encode(self, view: ViewInput, *, combine: Combine = "stream", rays_in_batch: bool = False) -> Tokens:
        """Turn a view into tokens; see `ViewEncoder` for the two rules.

        Raises:
            ValueError: The image size is not a multiple of the patch size.
        """
        return self.encoder(view, combine, rays_in_batch=rays_in_batch)

    def step(
        self,
        state: StreamState,
        view: ViewInput,
        tokens: Tokens,
        outputs: Outputs,
        rule: UpdateRule = OVERWRITE,
    ) -> tuple[Prediction, StreamState]:
        """Read one view against the state and write it into the state.

        The state is not modified in place: keep the old one to undo the view.

        Args:
            view: Decides, sample by sample, whether the state may change and whether it is reset afterwards.
            tokens: The encoded view.
            outputs: Heads to run. Each costs time even when its result is thrown away.
            rule: How the view is written; the state must have been made for it.

        Raises:
            ValueError: The state was made for another batch size.
        """
        if state.batch_size != view.batch_size:
            raise ValueError(
                f"state holds {state.batch_size} streams but the view has {view.batch_size}; "
                "start a new state with initial_state(), or split the batch"
            )
        summary = tokens.features.float().mean(dim=1, keepdim=True)
        remembered = self.memory.read(state.memory, summary)
        pose_query = torch.where(state.is_new[:, None, None], self.decoder.pose_token, remembered)
        statistics = rule.statistics()
        decoded = self.decoder(tokens, pose_query, state.tokens, statistics)
        prediction = self.heads(decoded, outputs)

        after = replace(state, is_new=torch.zeros_like(state.is_new))
        writes = view.write_mask()
        if bool(writes.any()):
            memory = self.memory.write(state.memory, summary, decoded.pose)
            gate, buffers = rule.gate(Writing(state, decoded, tokens, statistics))
            written = replace(
                after, tokens=blend(gate, decoded.candidate, state.tokens), memory=memory, buffers=buffers
            )
            after = merge(writes, written, after)
        resets = view.reset_mask()
        if bool(resets.any()):
            after = merge(resets, rule.reset(after, self.initial_state(state.batch_size, rule)), after)
        return prediction, after

    def rollout(
        self,
        views: Sequence[ViewInput],
        *,
        outputs: Outputs,
        combine: Combine = "batch",
        state: StreamState | None = None,
        keep_states: bool = False,
        rule: UpdateRule = OVERWRITE,
    ) -> Rollout:
        """Run a whole sequence of views, of equal batch size but of any image sizes.

        Args:
            combine: "batch" is the rule of training, where one ray map anywhere changes the tokens of all views;
                "stream" is the rule of frame-by-frame inference. Without ray maps they agree.
            state: Where to start; None starts new streams.
            rule: How views are written.
            keep_states: Return the states before the first and after each view, instead of the last one.

        Raises:
            ValueError: No views, or views that do not fit the state or the patch size.
        """
        if not views:
            raise ValueError("rollout needs at least one view, and the sequence is empty")
        if state is None:
            state = self.initial_state(views[0].batch_size, rule)
        rays_in_batch = any(bool(view.ray_mask().any()) for view in views)
        predictions, states = [], [state]
        for view in views:
            tokens = self.encode(view, combine=combine, rays_in_batch=rays_in_batch)
            prediction, state = self.step(state, view, tokens, outputs, rule)
            predictions.append(prediction)
            states.append(state)
        return Rollout(predictions, states if keep_states else states[-1:])
