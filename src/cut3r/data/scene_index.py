"""The scenes of a dataset in one file, so that nobody lists a hundred thousand folders twice.

Everything is in flat arrays that are mapped into memory: opening costs the same for ten scenes and for a million, and
the workers of a machine share one copy. A scene becomes an object when it is asked for.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from jaxtyping import Int

from cut3r.data.scene import Graph, Scene
from cut3r.files.mapped import read_mapped, write_mapped

FORMAT = 1  # of the file; one of another format is made again


class Texts(Sequence[str]):
    """Part of a long list of texts, decoded one at a time."""

    def __init__(self, letters: np.ndarray, ends: np.ndarray, first: int = 0, count: int | None = None) -> None:
        self._letters, self._ends, self._first = letters, ends, first
        self._count = len(ends) - first if count is None else count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(f"there are {self._count} texts, so there is no number {index}")
        number = self._first + index % self._count
        start = int(self._ends[number - 1]) if number else 0
        return bytes(self._letters[start : int(self._ends[number])]).decode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


class SceneIndex(Sequence[Scene]):
    """The scenes of an index file, made when they are asked for."""

    def __init__(self, path: Path) -> None:
        """Map the file.

        Raises:
            FileNotFoundError: No such file.
            ValueError: It is damaged, or of another format.
        """
        self.path = path
        self._open()

    def __len__(self) -> int:
        return len(self._arrays["scene_ends"])

    @property
    def lengths(self) -> Int[np.ndarray, "n"]:
        """The number of frames of each scene."""
        return np.diff(self._arrays["scene_ends"], prepend=0)

    @property
    def made_from(self) -> str:
        """The fingerprint of what the index was made from."""
        return str(self._facts["made_from"])

    def of_split(self, split: str) -> Int[np.ndarray, "k"]:
        """List the numbers of the scenes of a split, in order."""
        splits: list[str] = self._facts["splits"]
        return np.flatnonzero(self._arrays["split"] == (splits.index(split) if split in splits else -1))

    @overload
    def __getitem__(self, index: int) -> Scene: ...
    @overload
    def __getitem__(self, index: slice) -> list[Scene]: ...
    def __getitem__(self, index: int | slice) -> Scene | list[Scene]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        arrays = self._arrays
        end = int(arrays["scene_ends"][number])
        start = int(arrays["scene_ends"][number - 1]) if number else 0
        facts = self._texts("facts")[number]
        anchored = "anchor_ends" in arrays and arrays["anchored"][number]
        return Scene(
            name=self._texts("name")[number],
            frames=Texts(arrays["frame_letters"], arrays["frame_ends"], start, end - start),
            folder=self._texts("folder")[number],
            split=self._facts["splits"][arrays["split"][number]],
            policy=self._facts["policies"][arrays["policy"][number]],
            facts=json.loads(facts) if facts else {},
            graph=self._graph(number, start, end),
            anchors=self._anchors(number) if anchored else None,
            tracks=self._tracks(start, end),
        )

    def _tracks(self, start: int, end: int) -> list[int] | None:
        if "tracks" not in self._arrays:
            return None
        tracks: list[int] = self._arrays["tracks"][start:end].tolist()
        return tracks if tracks and tracks[0] >= 0 else None

    def _graph(self, number: int, start: int, end: int) -> Graph | None:
        arrays = self._arrays
        if "graph_starts" not in arrays or not arrays["has_graph"][number]:
            return None
        starts = np.asarray(arrays["graph_starts"][start : end + 1])
        edges = slice(int(starts[0]), int(starts[-1]))
        return Graph(starts - starts[0], arrays["graph_neighbours"][edges], arrays["graph_weights"][edges])

    def _anchors(self, number: int) -> list[int]:
        ends = self._arrays["anchor_ends"]
        return self._arrays["anchors"][int(ends[number - 1]) if number else 0 : int(ends[number])].tolist()

    def _texts(self, kind: str) -> Texts:
        return Texts(self._arrays[f"{kind}_letters"], self._arrays[f"{kind}_ends"])

    def _open(self) -> None:
        self._arrays = read_mapped(self.path)
        facts = bytes(self._arrays.get("about", np.zeros(0, np.uint8))).decode()
        self._facts: dict[str, Any] = json.loads(facts) if facts else {}
        if self._facts.get("format") != FORMAT:
            raise ValueError(f"{self.path} is no index of format {FORMAT}; remove it, and it is made again")

    def __getstate__(self) -> Path:
        """A worker process maps the file itself."""
        return self.path

    def __setstate__(self, path: Path) -> None:
        self.path = path
        self._open()


class ChosenScenes(Sequence[Scene]):
    """Some scenes of an index, in order."""

    def __init__(self, index: Sequence[Scene], numbers: Int[np.ndarray, "n"]) -> None:
        self._index, self._numbers = index, numbers

    @property
    def lengths(self) -> Int[np.ndarray, "n"]:
        """The number of frames of each scene."""
        if isinstance(self._index, SceneIndex | ChosenScenes):
            return self._index.lengths[self._numbers]
        return np.array([len(scene.frames) for scene in self], np.int64)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Scene: ...
    @overload
    def __getitem__(self, index: slice) -> list[Scene]: ...
    def __getitem__(self, index: int | slice) -> Scene | list[Scene]:
        if isinstance(index, slice):
            return [self._index[int(number)] for number in self._numbers[index]]
        return self._index[int(self._numbers[index])]


def write_index(path: Path, scenes: Iterable[Scene], made_from: str) -> None:
    """Write an index file, atomically. `made_from` is the fingerprint of what the scenes were listed from."""
    write_mapped(path, **_Columns(scenes).arrays(made_from))


class _Columns:
    """The arrays of an index file, grown scene by scene."""

    def __init__(self, scenes: Iterable[Scene]) -> None:
        self.texts: dict[str, list[bytes]] = {"name": [], "folder": [], "facts": [], "frame": []}
        self.codes: dict[str, dict[str, int]] = {"split": {}, "policy": {}}
        self.columns: dict[str, list[int]] = {"scene": [], "split": [], "policy": []}
        self.degrees: list[np.ndarray] = []
        self.neighbours: list[np.ndarray] = []
        self.weights: list[np.ndarray] = []
        self.graphs: list[bool] = []
        self.anchors: list[Sequence[int] | None] = []
        self.tracks: list[np.ndarray] = []
        for scene in scenes:
            self._add(scene)

    def _add(self, scene: Scene) -> None:
        count = len(scene.frames)
        self.texts["name"].append(scene.name.encode())
        self.texts["folder"].append(scene.folder.encode())
        self.texts["facts"].append(json.dumps(dict(scene.facts)).encode() if scene.facts else b"")
        self.texts["frame"].extend(frame.encode() for frame in scene.frames)
        self.columns["scene"].append(count)
        for kind, value in (("split", scene.split), ("policy", scene.policy)):
            self.columns[kind].append(self.codes[kind].setdefault(value, len(self.codes[kind])))
        self.graphs.append(scene.graph is not None)
        self.degrees.append(np.zeros(count, np.int64) if scene.graph is None else scene.graph.degrees)
        if scene.graph is not None:
            self.neighbours.append(scene.graph.neighbours)
            self.weights.append(scene.graph.weights)
        self.anchors.append(scene.anchors)
        self.tracks.append(np.full(count, -1, np.int32) if scene.tracks is None else np.asarray(scene.tracks, np.int32))

    def arrays(self, made_from: str) -> Mapping[str, np.ndarray]:
        about = {
            "format": FORMAT,
            "made_from": made_from,
            "splits": list(self.codes["split"]),
            "policies": list(self.codes["policy"]),
        }
        arrays = {"about": _bytes(json.dumps(about).encode()), "scene_ends": _ends(self.columns["scene"])}
        for kind, texts in self.texts.items():
            arrays[f"{kind}_letters"] = _bytes(b"".join(texts))
            arrays[f"{kind}_ends"] = _ends([len(text) for text in texts])
        for kind in ("split", "policy"):
            arrays[kind] = np.array(self.columns[kind], np.int16)
        if any(self.graphs):
            arrays["has_graph"] = np.array(self.graphs)
            arrays["graph_starts"] = np.concatenate(([0], np.cumsum(np.concatenate(self.degrees)))).astype(np.int64)
            arrays["graph_neighbours"] = np.concatenate(self.neighbours).astype(np.int32)
            arrays["graph_weights"] = np.concatenate(self.weights).astype(np.float32)
        if any(anchors is not None for anchors in self.anchors):
            lists = [[] if anchors is None else list(anchors) for anchors in self.anchors]
            arrays["anchored"] = np.array([anchors is not None for anchors in self.anchors])
            arrays["anchors"] = np.array([position for positions in lists for position in positions], np.int32)
            arrays["anchor_ends"] = _ends([len(positions) for positions in lists])
        if any((track >= 0).any() for track in self.tracks):
            arrays["tracks"] = np.concatenate(self.tracks)
        return arrays


def _bytes(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8)


def _ends(lengths: list[int]) -> Int[np.ndarray, "n"]:
    return np.cumsum(np.array(lengths, np.int64))
