"""How far predicted focal lengths are from the true ones."""

from jaxtyping import Float
from torch import Tensor


def focal_error(predicted: Float[Tensor, "*batch 3 3"], true: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """Give |predicted / true - 1|, the mean of both axes; intrinsics are in pixels of the same picture."""
    said, truth = (intrinsics.diagonal(dim1=-2, dim2=-1)[..., :2].double() for intrinsics in (predicted, true))
    return (said / truth - 1).abs().mean(dim=-1)
