"""The older name of the command: python -m eval.video_depth is python -m eval video_depth."""

import sys

from eval.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["video_depth", *sys.argv[1:]]))
