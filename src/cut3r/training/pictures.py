"""What the network sees and says, as one picture: a column per view.

Rows: which inputs it got, the image, the predicted colours, true and predicted depth, confidence, and the predicted
points from above, in the frame of the first camera.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from cut3r.data.view import View
from cut3r.geometry.poses import transform
from cut3r.model.prediction import Prediction

BAND = 4  # pixels of the row that tells the inputs: black image, white ray map, grey both
MOST_VIEWS = 10


@torch.no_grad()
def picture(views: Sequence[View], predictions: Sequence[Prediction], sample: int) -> UInt8[Tensor, "h w 3"]:
    """Draw one sample of a batch; of long sequences every n-th view."""
    stride = -(-len(views) // MOST_VIEWS)
    columns = [
        _column(view.map(lambda t: t[sample].cpu()), _of_sample(prediction, sample))
        for view, prediction in zip(views[::stride], predictions[::stride], strict=True)
    ]
    return torch.cat(columns, dim=1)


def _of_sample(prediction: Prediction, sample: int) -> Prediction:
    values = {name: value[sample].float().cpu() for name, value in vars(prediction).items() if value is not None}
    return Prediction(**{name: value[None] for name, value in values.items()})


def _column(view: View, prediction: Prediction) -> UInt8[Tensor, "h w 3"]:
    h, w = view.size
    shade = 0.0 if not view.has_rays else (0.5 if view.has_image else 1.0)
    image = (view.image.permute(1, 2, 0) + 1) / 2
    rows = [torch.full((BAND, w, 3), shade), image]
    if prediction.rgb is not None:
        rows.append((prediction.rgb[0] + 1) / 2)
    if prediction.points_cam is not None and prediction.conf_cam is not None:
        depth, predicted = view.depth, prediction.points_cam[0, ..., 2]
        low, high = _range(depth[view.valid])
        own = (low, high) if view.metric else _range(predicted[torch.isfinite(predicted)])
        confidence = prediction.conf_cam[0].log()
        rows += [
            torch.where(view.valid[..., None], colormap(depth, low, high), torch.zeros(3)),
            colormap(predicted, *own),
            colormap(confidence, *_range(confidence.flatten())),
        ]
    if prediction.points_cam is not None and prediction.world_from_cam is not None:
        points = transform(prediction.world_from_cam, prediction.points_cam)[0]
        rows.append(from_above(points.reshape(-1, 3), image.reshape(-1, 3), (h, w)))
    return (torch.cat(rows).nan_to_num(0).clamp(0, 1) * 255).to(torch.uint8)


def colormap(values: Float[Tensor, "h w"], low: float, high: float) -> Float[Tensor, "h w 3"]:
    """Blue (low) over green to red (high)."""
    x = ((values - low) / max(high - low, 1e-6)).nan_to_num(0).clamp(0, 1)
    return (1.5 - 4 * (x[..., None] - torch.tensor((0.75, 0.5, 0.25))).abs()).clamp(0, 1)


def from_above(
    points: Float[Tensor, "p 3"], colors: Float[Tensor, "p 3"], size: tuple[int, int]
) -> Float[Tensor, "h w 3"]:
    """Look down the y axis onto points, x to the right and z upward, fitted to the picture; of several points in a
    pixel the highest (smallest y) is seen."""
    h, w = size
    canvas = torch.ones(h * w, 3)
    kept = torch.isfinite(points).all(dim=-1)
    points, colors = points[kept], colors[kept]
    if len(points) == 0:
        return canvas.reshape(h, w, 3)
    plane = points[:, [0, 2]]
    low, high = plane.quantile(0.02, dim=0), plane.quantile(0.98, dim=0)
    scale = min(w / max(float(high[0] - low[0]), 1e-6), h / max(float(high[1] - low[1]), 1e-6))
    pixels = ((plane - (low + high) / 2) * scale + torch.tensor((w / 2, h / 2))).round().long()
    inside: Bool[Tensor, "p"] = (pixels >= 0).all(dim=-1) & (pixels < torch.tensor((w, h))).all(dim=-1)
    order = points[inside][:, 1].argsort(descending=True)  # the highest is written last
    x, z = pixels[inside][order].unbind(dim=-1)
    places = (h - 1 - z) * w + x
    last = torch.full((h * w,), -1).scatter_reduce(0, places, torch.arange(len(places)), "amax")
    canvas[last >= 0] = colors[inside][order][last[last >= 0]]
    return canvas.reshape(h, w, 3)


def _range(values: Float[Tensor, "p"]) -> tuple[float, float]:
    if values.numel() == 0:
        return 0.0, 1.0
    step = -(-values.numel() // 100_000)  # quantile refuses more than 16 million numbers
    low, high = values[::step].float().quantile(torch.tensor((0.01, 0.99))).tolist()
    return low, high
