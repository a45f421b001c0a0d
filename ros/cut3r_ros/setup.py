"""For colcon. The library itself is installed with pip: pip install 'cut3r[ros]'."""

from setuptools import setup

setup(
    name="cut3r_ros",
    version="0.1.0",
    packages=["cut3r_ros"],
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/cut3r_ros"]),
        ("share/cut3r_ros", ["package.xml"]),
        ("share/cut3r_ros/launch", ["launch/cut3r.launch.py"]),
    ],
    license="Apache-2.0",
    entry_points={"console_scripts": ["node = cut3r_ros.node:main"]},
)
