"""The older name of the command: python -m eval.relpose is python -m eval relpose."""

import sys

from eval.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["relpose", *sys.argv[1:]]))
