"""What there is to know of a published dataset before its files are opened."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """The facts of a dataset that documentation and commands show.

    `slug` is its name in configs and commands, `label` the first part of the labels of its samples. `scenes` and
    `frames` are numbers as published, sizes are in gigabytes; None where nobody says. `corner_shift` is what must be
    added to the principal point, in stored pixels, of files of the original's converter, which takes the corner of a
    picture for (0, 0) where we take the centre of its first pixel: -0.5 unless pictures were resized in between.
    `differs` are sentences about what we do otherwise than the original, which `parity` repeats.
    """

    slug: str
    label: str
    title: str
    url: str
    licence: str
    about: str  # real or rendered, indoors or outdoors, what moves
    metric: bool
    scenes: int | None = None
    frames: int | None = None
    raw_gb: float | None = None
    processed_gb: float | None = None
    needs: tuple[str, ...] = ()  # optional packages of its converter
    corner_shift: float = 0.0
    differs: tuple[str, ...] = ()
