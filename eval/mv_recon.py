"""The older name of the command: python -m eval.mv_recon is python -m eval mv_recon."""

import sys

from eval.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["mv_recon", *sys.argv[1:]]))
