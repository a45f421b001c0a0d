"""What a user can set about the viewer before it starts; most of it is also a control in the page."""

from dataclasses import dataclass

from cut3r.inference.view import EDGES


@dataclass
class ViewerConfig:
    """`max_frames` and `points_per_frame` bound the memory: 300 x 20,000 points are 0.2 GB here and 54 MB to a page."""

    point_size: float | None = None  # metres; None: in proportion to the scene
    confidence: float = 1.5  # points at or below are hidden at the start
    edges: float | None = EDGES  # flying pixels at larger steps of depth are left out; None: shown
    points_per_frame: int = 20_000  # kept of each frame, at random
    max_frames: int = 300  # kept of the stream; a longer one is thinned evenly
    max_queries: int = 20  # the oldest goes
    camera_size: float | None = None  # metres, of the frusta; None: in proportion to the scene
    thumbnail_side: int = 160  # pixels of the longer side of the images in the frusta

    def __post_init__(self) -> None:
        least = {
            "point_size": 1e-4,
            "confidence": 0.0,
            "points_per_frame": 1,
            "max_frames": 2,
            "max_queries": 1,
            "camera_size": 0.01,
            "thumbnail_side": 8,
        }
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None and not value >= minimum:
                raise ValueError(f"{name} is {value}, but the viewer needs at least {minimum}; raise it")
        if self.edges is not None and not 0 < self.edges < float("inf"):
            raise ValueError(f"edges is {self.edges}; give a positive share of the depth such as {EDGES}, or None")
