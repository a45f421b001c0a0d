"""ros2 launch cut3r_ros cut3r.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info model:=512-dpt"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

ARGUMENTS = {
    "image": "/camera/image_raw",
    "camera_info": "/camera/camera_info",
    "model": "tiny",
    "device": "auto",
    "size": "0",
    "update": "overwrite",
    "reset_every": "off",
    "world_frame": "map",
    "publish_tf": "true",
}


def generate_launch_description() -> LaunchDescription:
    declared = [DeclareLaunchArgument(name, default_value=value) for name, value in ARGUMENTS.items()]
    chosen = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    topics = ("image", "camera_info")
    node = Node(
        package="cut3r_ros",
        executable="node",
        output="screen",
        parameters=[{name: value for name, value in chosen.items() if name not in topics}],
        remappings=[(name, chosen[name]) for name in topics],
    )
    return LaunchDescription([*declared, node])
