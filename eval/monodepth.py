"""The older name of the command: python -m eval.monodepth is python -m eval monodepth."""

import sys

from eval.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["monodepth", *sys.argv[1:]]))
