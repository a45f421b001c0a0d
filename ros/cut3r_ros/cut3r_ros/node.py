"""A ROS 2 node: pictures of one topic in; poses, depth and points out.

    ros2 run cut3r_ros node --ros-args -r image:=/camera/image_raw -r camera_info:=/camera/camera_info -p model:=512-dpt

Only the newest picture waits: what comes while the network works is dropped, and the node says how many.
"""

import sys
import threading
import traceback
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Path
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from tf2_ros import TransformBroadcaster

import cut3r
from cut3r.inference.chunks import ResetConfig
from cut3r.inference.preprocess import FitConfig
from cut3r.io.known_cameras import Lens
from cut3r.io.ros_camera import calibration_of_message
from cut3r.io.ros_pictures import picture_of, stamp_ns
from cut3r.run.known import with_lens
from cut3r.speed.device import check_device
from cut3r_ros.convert import FIELDS, POINT, cloud, map_from_camera, position_and_quaternion, spread

PARAMETERS = {
    "model": "tiny",  # a checkpoint, or a name such as 512-dpt
    "device": "auto",
    "size": 0,  # longer side of the network's pictures; 0: as it was trained
    "update": "overwrite",  # as of --update
    "reset_every": "off",  # as of --reset-every
    "world_frame": "map",
    "camera_frame": "",  # empty: that of the pictures
    "publish_tf": True,
    "rectified": False,  # the pictures are undistorted, so that P of camera_info counts
    "confidence": 1.5,
    "max_points": 20_000,
    "path_length": 10_000,
}


class Reconstructor(Node):
    """Publishes pose, path, depth with its camera_info, and points; sends the transform world_frame -> camera."""

    def __init__(self) -> None:
        super().__init__("cut3r")
        values = {name: self._parameter(name, usual) for name, usual in PARAMETERS.items()}
        self.chosen = values
        model = cut3r.load(values["model"], device=check_device(values["device"]))
        fit = FitConfig(size=values["size"]) if values["size"] else None
        resets = ResetConfig.of_text(values["reset_every"])
        self.session = cut3r.Session(model, fit=fit, update=values["update"], resets=resets)
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.create_subscription(Image, "image", self.take, qos_profile_sensor_data)
        self.create_subscription(CameraInfo, "camera_info", self.calibrate, qos_profile_sensor_data)
        kinds = {"pose": PoseStamped, "path": Path, "depth": Image, "depth/camera_info": CameraInfo}
        self.out = {name: self.create_publisher(kind, f"~/{name}", 1) for name, kind in kinds.items()}
        self.out["points"] = self.create_publisher(PointCloud2, "~/points", best_effort)
        self.broadcaster = TransformBroadcaster(self) if values["publish_tf"] else None
        self.path = Path()
        self.lens: Lens | None = None
        self.is_calibrated = False
        self.first_ns: int | None = None
        self.count = self.dropped = 0
        self._newest: Any = None
        self._ended = False
        self._arrived = threading.Condition()
        self._worker = threading.Thread(target=self._work, name="cut3r", daemon=True)
        self._worker.start()

    def _parameter(self, name: str, usual: Any) -> Any:
        """The value that was given, in the type of the usual one: to ROS, which reads YAML, 100 is a number and off is
        false, whatever is declared."""
        value = self.declare_parameter(name, usual, ParameterDescriptor(dynamic_typing=True)).value
        if isinstance(usual, str) and isinstance(value, bool):
            return "on" if value else "off"
        return type(usual)(value)

    def calibrate(self, message: Any) -> None:
        """Take the first calibration; of one that cannot be used, say so once."""
        if self.is_calibrated:
            return
        self.is_calibrated = True
        try:
            found = calibration_of_message(message, "camera_info", rectified=self.chosen["rectified"])
            found.require_lenses()
            self.lens = found.only_lens()
        except ValueError as error:
            self.get_logger().warning(f"intrinsics are estimated, for camera_info cannot be used: {error}")

    def take(self, message: Any) -> None:
        """Keep the newest picture for the thread that works."""
        with self._arrived:
            if self._newest is not None:
                self.dropped += 1
                if self.dropped in (1, 10) or self.dropped % 100 == 0:
                    self.get_logger().warning(
                        f"dropped {self.dropped} pictures, {self.count} are done: too slow for all"
                    )
            self._newest = message
            self._arrived.notify()

    def end(self) -> None:
        with self._arrived:
            self._ended = True
            self._arrived.notify()
        self._worker.join(timeout=10)

    def _work(self) -> None:
        while True:
            with self._arrived:
                self._arrived.wait_for(lambda: self._newest is not None or self._ended)
                if self._ended:
                    return
                message, self._newest = self._newest, None
            try:
                self.publish(message.header, self.session.push(self.frame_of(message)))
            except ValueError as error:
                self.get_logger().error(f"a picture was left out: {error}")
            except Exception:  # nobody waits for this thread: without it the node would only look alive
                self.get_logger().fatal(f"the node ends: {traceback.format_exc()}")
                rclpy.try_shutdown()
                return

    def frame_of(self, message: Any) -> cut3r.Frame:
        """A picture with what is known of its camera, undistorted."""
        rgb = picture_of(message, "sensor_msgs/Image")
        if rgb.ndim == 2:
            raise ValueError(f"{message.encoding} is no colour picture; republish it as mono8 or rgb8")
        taken_ns = stamp_ns(message)
        self.first_ns = taken_ns if self.first_ns is None else self.first_ns
        frame = cut3r.Frame(rgb, self.count, (taken_ns - self.first_ns) / 1e9, f"{taken_ns}")
        return frame if self.lens is None else with_lens(frame, self.lens)

    def publish(self, header: Any, result: cut3r.FrameResult) -> None:
        self.count += 1
        if not result.camera_is_finite:
            self.get_logger().warning("the network lost the camera; nothing is published for this picture")
            return
        camera = self.chosen["camera_frame"] or header.frame_id
        place, quaternion = position_and_quaternion(map_from_camera(result.world_from_cam.double().numpy()))
        pose = PoseStamped()
        pose.header.stamp, pose.header.frame_id = header.stamp, self.chosen["world_frame"]
        _fill(pose.pose.position, "xyz", place)
        _fill(pose.pose.orientation, "xyzw", quaternion)
        self.out["pose"].publish(pose)
        self.path.header = pose.header
        self.path.poses = [*self.path.poses, pose][-self.chosen["path_length"] :]
        self.out["path"].publish(self.path)
        if self.broadcaster is not None:
            transform = TransformStamped()
            transform.header, transform.child_frame_id = pose.header, camera
            _fill(transform.transform.translation, "xyz", place)
            _fill(transform.transform.rotation, "xyzw", quaternion)
            self.broadcaster.sendTransform(transform)
        self._publish_depth(header.stamp, camera, result)
        self._publish_points(header.stamp, camera, result)

    def _publish_depth(self, stamp: Any, camera: str, result: cut3r.FrameResult) -> None:
        """Of the network's picture, with the intrinsics of that; nan where there is none, as REP 118 asks for."""
        depth = np.where(result.valid.numpy(), result.depth.numpy(), np.float32(np.nan)).astype("<f4")
        (h, w), (fx, _, cx), (_, fy, cy) = depth.shape, *result.intrinsics.double().numpy()[:2]
        message, info = Image(), CameraInfo()
        for each in (message, info):
            each.header.stamp, each.header.frame_id = stamp, camera
            each.height, each.width = h, w
        message.encoding, message.step, message.data = "32FC1", 4 * w, depth.tobytes()
        info.distortion_model, info.d = "plumb_bob", [0.0] * 5
        info.k, info.r = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0], np.eye(3).ravel().tolist()
        info.p = [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        self.out["depth"].publish(message)
        self.out["depth/camera_info"].publish(info)

    def _publish_points(self, stamp: Any, camera: str, result: cut3r.FrameResult) -> None:
        """In the camera's optical frame, so that the transform of the same stamp puts them into the world."""
        kept = (result.on_surfaces() & (result.confidence > self.chosen["confidence"])).numpy()
        some = spread(int(kept.sum()), self.chosen["max_points"])
        packed = cloud(
            result.points_cam.numpy()[kept][some], result.image[kept][some], result.confidence.numpy()[kept][some]
        )
        message = PointCloud2()
        message.header.stamp, message.header.frame_id = stamp, camera
        message.height, message.width, message.is_dense = 1, len(packed), True
        message.fields = [PointField(name=name, offset=offset, datatype=kind, count=1) for name, offset, kind in FIELDS]
        message.point_step, message.row_step = POINT.itemsize, POINT.itemsize * len(packed)
        message.data = packed.tobytes()
        self.out["points"].publish(message)


def _fill(target: Any, names: str, values: np.ndarray) -> None:
    for name, value in zip(names, values, strict=True):
        setattr(target, name, float(value))


def main() -> None:
    """Run until Ctrl-C."""
    rclpy.init(args=sys.argv)
    node = Reconstructor()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.end()
        node.destroy_node()
        rclpy.try_shutdown()
