"""What becomes of results before anybody gets them: views of a panorama keep together, moving things are left out."""

import logging
from collections.abc import Iterable, Iterator

from cut3r.inference.result import FrameResult
from cut3r.run.known import Known
from cut3r.run.moving import Moving
from cut3r.run.rig import Rig

logger = logging.getLogger(__name__)


def corrected(results: Iterable[FrameResult], rig: Rig | None, moving: Moving | None) -> Iterator[FrameResult]:
    """Give the results of a stream or an alignment, in their order, after what was asked for."""
    for result in results:
        result = result if rig is None else rig.apply(result)
        yield result if moving is None else moving.apply(result)


def tell_dropped(known: Known, moving: Moving | None) -> None:
    """Say how much does not count."""
    counts = known.dropped
    shares = {why: counts[why] / counts["all"] for why in ("masks", "sky") if counts[why]}
    if moving is not None and moving.pixels:
        shares["moving things"] = moving.dropped / moving.pixels
    for why, share in shares.items():
        logger.info("%s: %.1f %% of the pixels were left out", why, 100 * share)
