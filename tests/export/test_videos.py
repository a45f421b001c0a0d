import numpy as np
import pytest

from cut3r.export.config import ExportConfig
from cut3r.export.render import BACKGROUND, Cloud, render
from cut3r.export.videos import BEHIND, flight, write_depth_video, write_fly_through
from cut3r.io.frames import open_frames
from cut3r.io.images import read_image, write_image
from cut3r.run.finished import FinishedRun
from tests.export.room import CUT, ORIGINAL, make_room

K = np.array([[50.0, 0, 31.5], [0, 50.0, 23.5], [0, 0, 1]])
RED, BLUE = [255, 0, 0], [0, 0, 255]


class TestRender:
    def wall(self, z, color, side=1.0):
        at = np.linspace(-side, side, 60)
        x, y = np.meshgrid(at, at)
        points = np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], axis=-1).astype(np.float32)
        return points, np.tile(np.array(color, np.uint8), (len(points), 1))

    def test_what_is_nearer_hides_what_is_behind(self):
        near, far = self.wall(2.0, RED, side=0.4), self.wall(4.0, BLUE, side=3.0)
        for walls in ((near, far), (far, near)):
            cloud = Cloud.of(np.concatenate([w[0] for w in walls]), np.concatenate([w[1] for w in walls]))
            picture = render(cloud, K, np.eye(4), (48, 64))
            assert (picture[24, 32] == RED).all()
            assert (picture[2, 2] == BLUE).all()
            assert (picture[20:28, 28:36] == RED).all()  # without holes

    def test_points_appear_where_they_project(self):
        cloud = Cloud.of(np.array([[0.5, 0.2, 2.0], [-9, -9, 1]], np.float32), np.array([RED, BLUE], np.uint8))
        picture = render(cloud, K, np.eye(4), (48, 64))
        row, column = np.nonzero((picture == RED).all(axis=-1))
        assert abs(row.mean() - (50 * 0.1 + 23.5)) <= 6.5
        assert abs(column.mean() - (50 * 0.25 + 31.5)) <= 6.5
        assert (picture[0, 0] == BACKGROUND).all()

    def test_behind_the_camera_is_nothing(self):
        turned = np.diag([-1.0, 1, -1, 1])
        picture = render(Cloud.of(*self.wall(2.0, RED)), K, turned, (48, 64))
        assert (picture == BACKGROUND).all()


class TestFlight:
    def test_it_passes_behind_the_cameras_in_their_time(self):
        poses = np.tile(np.eye(4), (5, 1, 1))
        poses[:, 0, 3] = np.arange(5)
        way = flight(np.arange(5.0), poses, depth=2.0)
        assert len(way) == 121  # 4 s at 30 per second
        assert np.allclose(way[:, 2, 3], -BEHIND * 2)
        assert way[60, 0, 3] == pytest.approx(2.0, abs=0.05)
        assert (np.diff(way[:, 0, 3]) >= 0).all()

    def test_it_turns_the_short_way(self):
        angles = np.radians([170, 178, 186, 194])  # where the quaternion's sign flips
        poses = np.tile(np.eye(4), (4, 1, 1))
        poses[:, 0, 0] = poses[:, 2, 2] = np.cos(angles)
        poses[:, 0, 2], poses[:, 2, 0] = np.sin(angles), -np.sin(angles)
        way = flight(np.arange(4.0), poses, depth=1.0)
        assert (way[:, 2, 2] < -0.9).all()
        assert np.allclose(way[:, :3, :3] @ way[:, :3, :3].transpose(0, 2, 1), np.eye(3), atol=1e-9)


class TestFiles:
    def test_depth_at_the_size_of_the_photos(self, room, tmp_path):
        write_depth_video(FinishedRun(room.folder), tmp_path / "d.mp4")
        with open_frames(tmp_path / "d.mp4") as stream:
            frames = list(stream)
        assert len(frames) == 8
        picture = frames[0].rgb.astype(int)
        assert picture.shape[:2] == ORIGINAL
        assert picture[: 2 * CUT - 4].max() < 30  # rows that the network did not see
        depth = np.load(room.folder / "depth" / "000000.npy")
        near, far = np.unravel_index(depth.argmin(), depth.shape), np.unravel_index(depth.argmax(), depth.shape)
        for (row, column), channel in ((near, 0), (far, 2)):
            seen = picture[min(2 * (row + CUT) + 1, ORIGINAL[0] - 1), min(2 * column + 1, ORIGINAL[1] - 1)]
            assert seen.argmax() == channel

    def test_photos_of_both_directions_make_one_video(self, tmp_path):
        room = make_room(tmp_path, frames=3)
        size = ORIGINAL[::-1]
        with np.load(room.folder / "camera" / "000001.npz") as file:
            camera = dict(file)
        shapes = {kind: np.load(room.folder / kind / "000001.npy").T.copy() for kind in ("depth", "conf")}
        for kind, values in shapes.items():
            np.save(room.folder / kind / "000001.npy", values)
        color = read_image(room.folder / "color" / "000001.png")
        write_image(room.folder / "color" / "000001.png", color.transpose(1, 0, 2).copy())
        turned = {"original_size": np.array(size), "offset": camera["offset"][::-1]}
        np.savez(room.folder / "camera" / "000001.npz", **(camera | turned))
        write_depth_video(FinishedRun(room.folder), tmp_path / "d.mp4")
        with open_frames(tmp_path / "d.mp4") as stream:
            frames = list(stream)
        assert [frame.rgb.shape[:2] for frame in frames] == [ORIGINAL] * 3
        assert frames[1].rgb[:, :20].max() < 30  # beside the upright one
        assert frames[1].rgb[90:100, 120:130].max() > 100

    def test_a_flight_shows_the_room(self, room, tmp_path):
        told = []
        write_fly_through(FinishedRun(room.folder), tmp_path / "f.mp4", on_progress=lambda *said: told.append(said))
        with open_frames(tmp_path / "f.mp4") as stream:
            frames = list(stream)
        assert len(frames) == told[-1][2] == 53  # 7 steps at 4 per second, drawn at 30
        filled = (frames[26].rgb < 240).any(axis=-1).mean()
        assert 0.4 < filled < 0.95

    @pytest.mark.parametrize("write", [write_depth_video, write_fly_through])
    def test_nothing_sure_is_said(self, room, tmp_path, write):
        with pytest.raises(ValueError, match=r"above the confidence 100"):
            write(FinishedRun(room.folder), tmp_path / "x.mp4", ExportConfig(confidence=100.0))
        assert not list(tmp_path.iterdir())
