"""What can be chosen about an alignment."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from jaxtyping import Float
from torch import Tensor

from cut3r.alignment import graphs
from cut3r.alignment.normal_equations import CLOSE
from cut3r.alignment.samples import PIXELS
from cut3r.alignment.taken import Taken
from cut3r.inference.known_distance import KnownDistance

ROOM_FOR_LOOPS = 0.4  # pairs per frame: both directions of two candidates in ten frames
OnProgress = Callable[[str, int, int], None]  # the stage, and how much of it is done


class Method(Enum):
    """How predictions become one world."""

    graph = "graph"  # a sparse pose graph: linear in frames
    full = "full"  # and dense refinement of cameras and depth, merged and cleaned: linear, too
    original = "original"  # the original's optimiser: for a few dozen frames


class Graph(Enum):
    """Which frames are seen together."""

    auto = "auto"  # all up to 30 frames, then wide; in parity mode the original's
    all = "all"
    window = "window"
    wide = "wide"  # a window, and frames at distances 4, 8, 16, ...
    first = "first"  # each with the first one only
    original = "original"


class Loops(Enum):
    """Whether frames that see the same place again are looked for."""

    auto = "auto"  # unless all frames are paired anyway
    off = "off"


@dataclass
class AlignConfig:
    """How `align` works."""

    method: Method = Method.full
    graph: Graph = Graph.auto
    loops: Loops = Loops.auto
    width: int = graphs.WINDOW  # of the window
    with_scale: bool = True  # each frame's depth has its own scale
    shared_focal: bool = False  # one camera without zoom
    parity: bool = False  # with `original`: its pairs, its unit, its cleaning
    pose_sigma: tuple[float, float] | None = None  # metres, radians: error of known poses; without, they stay
    distance: KnownDistance | None = None  # makes the world that large in the end, known poses included
    centres_only: bool = False  # known poses only say where the finished scene is, and how large
    slack: float = CLOSE  # of the usual distance of points: an error of a pair below counts as its square
    seed: int = 0  # of the points drawn
    sweeps: int = 15  # of dense refinement
    pixels: int = PIXELS  # of each frame that take part in it
    steps: int = 300  # of the original's optimiser

    def __post_init__(self) -> None:
        if self.centres_only and (self.pose_sigma is not None or self.distance is not None):
            raise ValueError(
                "where only the centres of known poses count, for the scale, neither their errors nor a distance have "
                "a meaning; leave them out"
            )

    def poses_that_count(self, taken: Taken) -> dict[int, Float[Tensor, "4 4"]]:
        """The known poses that the frames are held to."""
        return {} if self.centres_only else taken.world_from_cam

    def poses_that_stay(self, taken: Taken) -> dict[int, Float[Tensor, "4 4"]]:
        """Those of them that are exact."""
        return {} if self.pose_sigma is not None else self.poses_that_count(taken)

    def graph_for(self, n: int) -> Graph:
        """What `auto` stands for with n frames."""
        if self.graph is not Graph.auto:
            return self.graph
        return Graph.original if self.parity else Graph.all if n <= graphs.SMALL else Graph.wide

    def looks_for_loops(self, n: int) -> bool:
        """Whether loops are looked for: in graphs of neighbours, not where what is paired is all or asked for."""
        return self.loops is Loops.auto and self.graph_for(n) in (Graph.window, Graph.wide)

    def stars(self, n: int) -> list[graphs.Star]:
        """The streams to run over n frames."""
        match self.graph_for(n):
            case Graph.all:
                return graphs.complete(n)
            case Graph.window:
                return graphs.window(n, self.width)
            case Graph.wide:
                return graphs.window(n, self.width, powers=True)
            case Graph.first:
                return graphs.one_reference(n)
        return graphs.original(n)
