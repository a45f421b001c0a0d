"""Moving things: points that stand where earlier frames have seen through.

Each frame is compared with some frames before it, in the frame of their chunk, by the one test of depth that several
views have in common (`data.agreement`). Where an earlier frame sees something farther away in the direction of a point,
the point was not there; where several do, and more than agree with it, it has come since: a person, a car. What such a
thing hid before is no contradiction: it was behind. It is causal, so what has not moved yet is kept.
"""

from collections import deque
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from cut3r.data.agreement import Seen, same_depth
from cut3r.geometry.poses import invert, transform
from cut3r.inference.result import FrameResult
from cut3r.inference.view import EDGES

VIEWS, SPACING = 6, 5  # frames that are kept, and between them: the last second of a video
TOLERANCE = 0.10  # of the depth: what differs by less agrees
LEAST = 2  # views that see through
STRIDE = 2  # every second row and column is looked at


class Moving:
    """Takes results in order, and gives them without what moves. `dropped` and `pixels` count valid pixels.

    Keeps few depth maps, and nothing of a chunk that has ended.
    """

    def __init__(self) -> None:
        self.dropped = self.pixels = 0
        self._chunk = -1
        self._seen: deque[Seen] = deque(maxlen=VIEWS)

    def apply(self, result: FrameResult) -> FrameResult:
        """Give the result, of which pixels that show moving things are not valid."""
        if result.chunk != self._chunk:
            self._seen.clear()
            self._chunk = result.chunk
        before = int(result.valid.sum())
        if len(self._seen) >= LEAST and result.camera_is_finite:
            result = replace(result, valid=result.valid & ~self._moving(result))
        self.pixels, self.dropped = self.pixels + before, self.dropped + before - int(result.valid.sum())
        if result.number % SPACING == 0 and result.camera_is_finite:
            view = result.view
            depth = view.points[..., 2].where(view.on_surfaces(EDGES), 0.0)
            camera = (view.intrinsics.double().numpy(), view.chunk_from_cam.double().numpy())
            self._seen.append(Seen(depth.numpy(), *camera))
        return result

    def _moving(self, result: FrameResult) -> Bool[Tensor, "h w"]:
        h, w = result.valid.shape
        looked = torch.zeros(h, w, dtype=torch.bool)
        looked[::STRIDE, ::STRIDE] = result.valid[::STRIDE, ::STRIDE]
        points = transform(result.chunk_from_cam.double(), result.view.points[looked].double())
        through, agree = torch.zeros(len(points)), torch.zeros(len(points))
        for seen in self._seen:
            _, there, same = same_depth(points, seen, TOLERANCE)
            cam_from_chunk = invert(torch.from_numpy(seen.world_from_cam))
            mine, theirs = (transform(cam_from_chunk, some)[:, 2] for some in (points, there))
            through += theirs > mine * (1 + TOLERANCE)  # nan, where the view knows nothing, is not
            agree += same
        moving = torch.zeros(h, w, dtype=torch.bool)
        moving[looked] = (through >= LEAST) & (through > agree)
        some = moving[::STRIDE, ::STRIDE].repeat_interleave(STRIDE, 0).repeat_interleave(STRIDE, 1)
        return some[:h, :w]
