"""The pictures of the recording show a few dozen laser points; by default, such frames count as invalid."""

from datasets_preprocess.waymo import WaymoOptions

OPTIONS = WaymoOptions(min_pixels=1)
