"""A ROS 2 node around cut3r."""
