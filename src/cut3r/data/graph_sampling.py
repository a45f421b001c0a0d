"""Samples of scenes that know which frames see the same: groups around a frame, walks from frame to frame, partners by
overlap. Source: sections 5 of the dataset files."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cut3r.data.sampling import Choice, Policy, SamplingPolicy, Wanted
from cut3r.data.scene import Graph, Scene

STEPS = 100  # of a walk that may repeat frames
LONGEST_SEARCH = 2_000  # steps and returns of a walk over different frames, of which there may be none


class GraphPolicy(Policy):
    """The base of the policies of scenes with a graph. Each anchor leads one entry, in order."""

    def entries(self, scene: Scene, wanted: Wanted) -> int:
        return len(self.anchors(scene, wanted))

    def anchors(self, scene: Scene, wanted: Wanted) -> list[int]:
        """List the frames that lead a sample: those that see the same as enough others."""
        positions = range(len(scene.frames)) if scene.anchors is None else scene.anchors
        degrees = graph_of(scene).degrees
        smallest = self.smallest_group(wanted)
        return [int(position) for position in positions if degrees[position] + 1 >= smallest]

    def smallest_group(self, wanted: Wanted) -> int:
        """The number of frames, the anchor included, that a group must have."""
        return wanted.admission

    def substitutes(self, scene: Scene, position: int, rng: np.random.Generator) -> Iterator[int]:
        """What sees the same as the broken frame, in an order drawn by weight, then the nearest others."""
        neighbours, weights = graph_of(scene).of(position)
        if len(neighbours):
            drawn = rng.choice(neighbours, len(neighbours), replace=False, p=shares(weights))
            yield from (int(other) for other in drawn)
        yield from super().substitutes(scene, position, rng)


@dataclass(frozen=True)
class GroupPolicy(GraphPolicy):
    """Walk along a camera's path with probability `video_share`, else draw frames that see the same as the anchor.

    `ordered_share` of all samples are draws in the order of the scene; the rest is shuffled. Draws are from the best
    two to four times as many as are needed, by weight; a group that is too small repeats.

    Parity: 06_scannetpp.md quirks 2 to 5. Videos are those of the other camera, the best are those of the lowest
    positions, videos start too late in short paths, and groups below the largest number of views are left out even
    when frames may repeat.
    """

    video: SamplingPolicy
    video_share: float
    ordered_share: float
    parity: bool = False

    def smallest_group(self, wanted: Wanted) -> int:
        return wanted.most if self.parity else wanted.admission

    def choose(self, scene: Scene, entry: int, wanted: Wanted, rng: np.random.Generator) -> Choice:
        anchor = self.anchors(scene, wanted)[entry]
        draw = rng.random()
        path = self._path(scene, anchor, rng)
        starts = self._starts(len(path), wanted.cut_off)
        if draw < self.video_share and starts > 0:
            walk, is_video = self.video.walk(int(rng.choice(starts)), len(path), wanted.num_views, rng)
            return Choice([path[i] for i in walk], is_video)
        chosen = sorted(self._draw(self.members(scene, anchor), wanted.num_views, rng))
        if draw > self.video_share + self.ordered_share:
            return Choice(rng.permutation(chosen).tolist(), False)
        return Choice(chosen, True)

    def members(self, scene: Scene, anchor: int) -> list[int]:
        """List the frames of a group, the most wanted first."""
        neighbours, weights = graph_of(scene).of(anchor)
        if self.parity:
            return sorted({anchor, *neighbours.tolist()})
        return [anchor, *neighbours[np.argsort(-weights, kind="stable")].tolist()]

    def paths(self, scene: Scene, anchor: int) -> list[list[int]]:
        """List the camera paths that a video of a group may walk along."""
        if scene.tracks is None:
            return [scene.track(0)]
        own = int(scene.tracks[anchor])
        others = sorted(set(np.asarray(scene.tracks).tolist()) - {own})
        numbers = (others or [own]) if self.parity else [own, *others]
        return [scene.track(number) for number in numbers]

    def _path(self, scene: Scene, anchor: int, rng: np.random.Generator) -> list[int]:
        paths = self.paths(scene, anchor)
        return paths[0] if len(paths) == 1 else paths[int(rng.integers(len(paths)))]

    def _starts(self, length: int, cut_off: int) -> int:
        starts = length - cut_off + 1
        return max(starts + length, 0) if self.parity and starts < 0 else max(starts, 0)

    def _draw(self, members: list[int], num_views: int, rng: np.random.Generator) -> list[int]:
        wanted = min(len(members), int(num_views * (2 + 2 * rng.random())))
        drawn: list[int] = rng.permutation(members[:wanted])[:num_views].tolist()
        missing = num_views - len(drawn)
        return drawn + (rng.choice(drawn, missing).tolist() if missing else [])


@dataclass(frozen=True)
class OverlapPolicy(GraphPolicy):
    """The anchor first, then partners drawn by weight. Where there are too few, the same partner comes again.

    Parity: partners repeat whenever frames may repeat, and an anchor with too few partners is found out late.
    """

    parity: bool = False

    def anchors(self, scene: Scene, wanted: Wanted) -> list[int]:
        return list(range(len(scene.frames))) if self.parity else super().anchors(scene, wanted)

    def choose(self, scene: Scene, entry: int, wanted: Wanted, rng: np.random.Generator) -> Choice:
        """Raises ValueError if the anchor has too few partners."""
        anchor = self.anchors(scene, wanted)[entry]
        neighbours, weights = graph_of(scene).of(anchor)
        if len(neighbours) < wanted.cut_off - 1:
            raise ValueError(f"frame {anchor} has {len(neighbours)} partners of the {wanted.cut_off - 1} that it needs")
        repeat = wanted.allow_repeat if self.parity else len(neighbours) < wanted.num_views - 1
        drawn = rng.choice(neighbours, wanted.num_views - 1, replace=repeat, p=shares(weights))
        return Choice([anchor, *drawn.tolist()], False)


@dataclass(frozen=True)
class WalkPolicy(GraphPolicy):
    """Walk at random from frame to frame that sees the same, with steps drawn by weight. Source: 03_blendedmvs.md.

    A frame is an anchor if enough others can be reached from it. With repeats a walk may come to a frame again.
    """

    fewest_share: int = 5  # with repeats, a sample must have a fifth of its views as different frames

    def fewest(self, num_views: int, *, allow_repeat: bool) -> int:
        return max(num_views // self.fewest_share, 3) if allow_repeat else num_views

    def anchors(self, scene: Scene, wanted: Wanted) -> list[int]:
        positions = range(len(scene.frames)) if scene.anchors is None else scene.anchors
        sizes = component_sizes(graph_of(scene))
        fewest = self.fewest(wanted.most, allow_repeat=wanted.allow_repeat)
        return [int(position) for position in positions if sizes[position] >= fewest]

    def choose(self, scene: Scene, entry: int, wanted: Wanted, rng: np.random.Generator) -> Choice:
        start, graph = self.anchors(scene, wanted)[entry], graph_of(scene)
        if not wanted.allow_repeat:
            return Choice(walk_once(graph, start, wanted.num_views, rng), False)
        fewest = self.fewest(wanted.num_views, allow_repeat=True)
        return Choice(walk_with_repeats(graph, start, wanted.num_views, fewest, rng), False)


def walk_once(graph: Graph, start: int, num_views: int, rng: np.random.Generator) -> list[int]:
    """Walk depth first over different frames; each new frame draws an order of all its neighbours by weight.

    Raises:
        ValueError: So many frames cannot be reached.
    """
    path, orders = [start], [_drawn_order(graph, start, rng)]
    for _ in range(LONGEST_SEARCH):
        if not path or len(path) == num_views:
            break
        following = next((frame for frame in orders[-1] if frame not in path), None)
        if following is None:
            path.pop()
            orders.pop()
            continue
        orders[-1] = orders[-1][orders[-1].index(following) + 1 :]
        path.append(following)
        orders.append(_drawn_order(graph, following, rng))
    if len(path) < num_views:
        raise ValueError(f"no walk of {num_views} different frames begins at frame {start}, or none is found")
    return path


def walk_with_repeats(graph: Graph, start: int, num_views: int, fewest: int, rng: np.random.Generator) -> list[int]:
    """Walk to frames not seen before while there are any, else to any neighbour; fill up from the path.

    Raises:
        ValueError: It shows fewer than `fewest` different frames.
    """
    path, seen = [start], {start}
    for _ in range(STEPS):
        neighbours, weights = graph.of(path[-1])
        if len(path) == num_views or not len(neighbours):
            break
        new = np.array([frame not in seen for frame in neighbours.tolist()])
        chosen = new if new.any() else np.ones(len(neighbours), bool)
        path.append(int(rng.choice(neighbours[chosen], p=shares(weights[chosen]))))
        seen.add(path[-1])
    if len(seen) < fewest:
        raise ValueError(f"a walk from frame {start} shows {len(seen)} different frames of the {fewest} that it needs")
    return path + [int(rng.choice(path)) for _ in range(num_views - len(path))]


def component_sizes(graph: Graph) -> list[int]:
    """Count, for each frame, the frames that can be reached from it, itself included."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    count = len(graph)
    matrix = csr_array((np.ones(len(graph.neighbours)), graph.neighbours, graph.starts), shape=(count, count))
    _, labels = connected_components(matrix, directed=False)
    return np.bincount(labels)[labels].tolist()


def shares(weights: Float[np.ndarray, "k"]) -> Float[np.ndarray, "k"]:
    """Turn weights into probabilities."""
    values = np.asarray(weights, np.float64)
    return values / values.sum()


def graph_of(scene: Scene) -> Graph:
    """Give the graph of a scene.

    Raises:
        ValueError: It has none.
    """
    if scene.graph is None:
        raise ValueError(f"scene {scene.name} says of no frames that they see the same; make its index again")
    return scene.graph


def _drawn_order(graph: Graph, frame: int, rng: np.random.Generator) -> list[int]:
    neighbours, weights = graph.of(frame)
    if not len(neighbours):
        return []
    return rng.choice(neighbours, len(neighbours), replace=False, p=shares(weights)).tolist()
