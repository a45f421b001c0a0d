"""What frames bring along takes the place of what the network says: poses, and the scale.

Where no poses are given, depth or a distance says how many metres the network's unit of length is. The whole stream is
scaled alike: all chunks are moved, so that there is one factor in the end.

Given poses stay exactly as they are, and the world is theirs. Points follow the given cameras, scaled by what the
distances between these say. The first frames with a base line decide where chunks stand and how large they are; from
then on nothing is moved any more, and better evidence counts for the frames that come.

All of it is causal: a stream does not wait for its scale, and has the network's metres until it is known.
"""

import math
from dataclasses import dataclass, field, replace
from enum import Enum

import torch
from jaxtyping import Float64
from torch import Tensor

from cut3r.geometry.poses import invert, transform
from cut3r.geometry.registration import Similarity
from cut3r.inference.course import Course
from cut3r.inference.known_distance import KnownDistance, is_called
from cut3r.inference.places import Places
from cut3r.inference.result import FrameResult
from cut3r.inference.scale_votes import Votes

ENOUGH = 10  # votes: then chunks that given poses hold stay where they are
TOLERANCE = 0.02  # of the scale (its logarithm): what says less changes nothing before the end of the stream
SHORT, LONG = 0.05, 0.5  # of the depth: a base line that says nothing, and one after which the next one begins
VIEWS = 32  # given poses that are kept for ray maps: more than an overlap
AGREE = 1.25  # base lines of given poses say the scale, if half of them are within this factor
LEAST_SHARE = 0.01  # of the pixels must have depth

Place = Float64[Tensor, "4 4"]


class ScaleFrom(Enum):
    poses = "poses"
    depth = "depth"


@dataclass(frozen=True)
class GivenConfig:
    """What becomes of what frames bring along.

    Args:
        scale_from: What says how long a metre is. None: given poses, and depth where there are none.
        hold_poses: Given poses are those of the results. False: they give the scale only.
        condition: Show the network the given cameras as ray maps. Only a network that was trained with ray maps
            understands them: see docs/known_cameras.md.
    """

    scale_from: ScaleFrom | KnownDistance | None = None
    hold_poses: bool = True
    condition: bool = False


@dataclass(frozen=True)
class Given:
    """What a session remembers of it: a value, bounded.

    `scale` is in the places of all chunks already: metres of the world per unit of the first chunk. `factor` comes on
    top for the points of frames where given poses hold the chunks. `known` is the last given camera, `placed` where the
    network and the chunk's place had it; `start` is both for the frame that base lines are measured from. `ends` are
    the cameras of a known distance, each in its chunk. `first` is the last chunk and the number of its first view;
    `views` are the given poses of the last frames, if the network is shown given cameras: `first` may be among them.
    """

    scale: float = 1.0
    factor: float = 1.0
    votes: Votes = field(default_factory=Votes)
    known: Place | None = None
    placed: Place | None = None
    start: tuple[Place, Place] | None = None
    ends: tuple[tuple[int, Place] | None, tuple[int, Place] | None] = (None, None)
    first: tuple[int, int] = (-1, -1)
    views: dict[int, Place] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """Whether chunks that given poses hold stay where they are."""
        return self.votes.seen >= ENOUGH

    @property
    def says_something(self) -> bool:
        """Whether anything was given so far."""
        return self.votes.seen > 0 or self.start is not None or self.scale != 1.0

    def in_new_world(self) -> "Given":
        """After a reset that nothing joins to what was before: only the scale is remembered."""
        return Given(self.scale, self.factor, self.votes)


def follow(
    config: GivenConfig, given: Given, result: FrameResult, places: Places
) -> tuple[Given, Similarity | None, FrameResult]:
    """Take in a frame as the network says it.

    Args:
        places: Where all chunks stand, that of the frame included.

    Returns:
        What is remembered, how the whole world is moved (None: not at all), and the result with what is given; its
        `world_from_chunk` is that of before the move.

    Raises:
        ValueError: A pose that is held, and a distance that would scale it.
    """
    place, said, known = places.world_from_chunk[result.chunk], result.chunk_from_cam.double(), _pose_of(result)
    if isinstance(config.scale_from, KnownDistance) and config.hold_poses and known is not None:
        raise ValueError(
            f"{result.frame.name} comes with a pose, and the distance {config.scale_from.first} to "
            f"{config.scale_from.second} would scale it; give poses in metres, or only one of both"
        )
    if not bool(said.isfinite().all()):
        return given, None, result
    step = None
    placed = place.place(said)
    if known is not None and config.hold_poses and given.known is None:
        step = Similarity.from_matrix(known @ invert(placed))
        place, placed = chained(step, place), step.place(placed)
    given = _voted(config, given, result, known, placed, float(place.scale))
    if isinstance(config.scale_from, KnownDistance):
        given = _noted(config.scale_from, given, result, said)
    given, wider = rescaled(config, given, places)
    if wider is not None:
        step, place, placed = chained(wider, step), chained(wider, place), wider.place(placed)
    if not config.hold_poses or (known is None and given.known is None):
        return given, step, result
    given = given if known is None else replace(given, known=known, placed=placed)
    return given, step, _held(given, result, placed, place, is_given=known is not None)


def rescaled(
    config: GivenConfig, given: Given, places: Places, tolerance: float = TOLERANCE
) -> tuple[Given, Similarity | None]:
    """Follow the votes or the distance: by moving the world, or for the points to come.

    Args:
        tolerance: 0 at the end of a stream: the factor that all frames say, exactly. Chunks that given poses hold stay.
    """
    wanted = _wanted(config, given, places)
    if wanted is None or abs(math.log(wanted / (given.scale * given.factor))) <= tolerance:
        return given, None
    if given.start is not None and config.hold_poses:
        if tolerance == 0:
            return given, None
        if given.is_settled:
            return replace(given, factor=wanted / given.scale), None
        known, placed = given.start
        step = scaling(wanted / given.scale, known[:3, 3])
        return replace(given, scale=wanted, start=(known, step.place(placed)), placed=_moved(step, given.placed)), step
    step = scaling(wanted / given.scale)
    start = given.start and (given.start[0], step.place(given.start[1]))
    return replace(given, scale=wanted, start=start), step


def with_view(given: Given, result: FrameResult, course: Course) -> Given:
    """Remember the given pose of a frame whose result is there, for ray maps."""
    first = given.first
    if first[0] != result.chunk:
        first = (result.chunk, course.overlap[0].number if course.overlap else result.number)
    pose = _pose_of(result)
    views = given.views if pose is None else given.views | {result.number: pose}
    last = sorted(views)[-VIEWS:]
    return replace(given, first=first, views={number: views[number] for number in {first[1], *last} & views.keys()})


def first_camera(given: Given, chunk: int, course: Course) -> Place | None:
    """The given pose of the first view that the state has seen; None if there is none, or that view is yet to come."""
    number = given.first[1]
    if given.first[0] != chunk:
        number = course.overlap[0].number if course.overlap else -1
    return given.views.get(number)


def scaling(factor: float, centre: Float64[Tensor, "3"] | None = None) -> Similarity:
    """Make the world larger around a point, by default the origin."""
    one = Similarity.identity()
    shift = one.translation if centre is None else (1 - factor) * centre
    return Similarity(one.rotation, shift, one.scale * factor)


def chained(second: Similarity, first: Similarity | None) -> Similarity:
    """Do one after the other."""
    return second if first is None else Similarity.from_matrix(second.matrix() @ first.matrix().double())


def _voted(
    config: GivenConfig, given: Given, result: FrameResult, known: Place | None, placed: Place, scale: float
) -> Given:
    """Let the frame say how long a metre is, as metres per unit of the network's first chunk.

    Args:
        scale: Of the place of the frame's chunk, of which `given.scale` is a part.
    """
    if known is not None and given.start is None:
        given = replace(given, start=(known, placed))
    if config.scale_from is ScaleFrom.depth or (config.scale_from is None and given.start is None):
        ratio = _depth_ratio(result) / scale
        return replace(given, votes=given.votes.cast(math.log(ratio * given.scale))) if ratio > 0 else given
    if known is None or given.start is None or isinstance(config.scale_from, KnownDistance):
        return given
    true, seen = (float((a - b)[:3, 3].norm()) for a, b in zip((known, placed), given.start, strict=True))
    depth_m = _median_depth(result) * scale
    if not (true > 0 and seen > SHORT * depth_m):
        return given
    votes = given.votes.cast(math.log(true / seen * given.scale))
    # not before the chunk stays where it is: until then it is scaled around the start
    goes_on = seen > LONG * depth_m and votes.seen >= ENOUGH
    return replace(given, votes=votes, start=(known, placed) if goes_on else given.start)


def contradicts_itself(config: GivenConfig, given: Given) -> bool:
    """Whether base lines of given poses say so different things that nobody asked for that they do not count."""
    asked = config.scale_from is not None
    return not asked and given.start is not None and given.votes.spread() > AGREE


def _wanted(config: GivenConfig, given: Given, places: Places) -> float | None:
    """Metres per unit of the network's first chunk; None if nothing says."""
    if not isinstance(config.scale_from, KnownDistance):
        # what contradicts itself says nothing: back to the network's metres
        return 1.0 if contradicts_itself(config, given) else given.votes.middle()
    first, second = given.ends
    if first is None or second is None or not {first[0], second[0]} <= places.world_from_chunk.keys():
        return None
    centres = [places.world_from_chunk[chunk].place(camera)[:3, 3] for chunk, camera in (first, second)]
    found = float((centres[0] - centres[1]).norm())
    return given.scale * config.scale_from.metres / found if found > 0 else None


def _noted(distance: KnownDistance, given: Given, result: FrameResult, said: Place) -> Given:
    """Remember the two cameras whose distance is known."""
    first, second = (
        (result.chunk, said) if is_called(result.frame, name) else end
        for name, end in zip((distance.first, distance.second), given.ends, strict=True)
    )
    return replace(given, ends=(first, second))


def _held(given: Given, result: FrameResult, placed: Place, place: Similarity, *, is_given: bool) -> FrameResult:
    """Put a frame where the given cameras say: itself, or the last one before it, from where the network goes on."""
    assert given.known is not None and given.placed is not None
    step = invert(given.placed) @ placed
    step[:3, 3] *= given.factor
    chunk_from_cam = place.inverse().place(given.known if is_given else given.known @ step)
    prediction, said = result.prediction, result.chunk_from_cam.double()
    assert prediction.points_cam is not None
    points, world = prediction.points_cam * given.factor, prediction.points_world
    if world is not None:
        of_camera = given.factor * transform(invert(said), world.double())
        world = transform(chunk_from_cam, of_camera).float()
    early = None
    if not given.is_settled:  # the chunk is going to be scaled, which moves what it has seen but turns nothing
        turned = chunk_from_cam.clone()
        turned[:3, 3] = said[:3, 3]
        early = transform(turned, points[0].double()).float()
    pose = chunk_from_cam.float()[None]
    prediction = replace(prediction, points_cam=points, points_world=world, world_from_cam=pose)
    return replace(result, prediction=prediction, pose_is_given=is_given, points_of_chunk=early)


def _pose_of(result: FrameResult) -> Place | None:
    pose = result.frame.world_from_cam
    return None if pose is None else torch.as_tensor(pose).double()


def _moved(step: Similarity, placed: Place | None) -> Place | None:
    return None if placed is None else step.place(placed)


def _median_depth(result: FrameResult) -> float:
    """In units of the chunk; infinite where nothing is valid."""
    assert result.prediction.points_cam is not None
    depth = result.prediction.points_cam[0, ..., 2][result.valid]
    return float(depth.median()) if len(depth) else math.inf


def _depth_ratio(result: FrameResult) -> float:
    """The median of given by predicted depth, metres per unit of the chunk; 0 where too few pixels have both."""
    if result.frame.depth is None:
        return 0.0
    assert result.prediction.points_cam is not None
    given, said = result.pixel_map.nearest_to_image(result.frame.depth), result.prediction.points_cam[0, ..., 2]
    both = result.valid & (given > 0) & given.isfinite()
    return float((given[both] / said[both]).median()) if float(both.float().mean()) >= LEAST_SHARE else 0.0
