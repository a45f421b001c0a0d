"""python -m datasets_preprocess: convert a downloaded dataset, list what can be converted, verify what was."""

import argparse
import logging
import sys
from pathlib import Path

from datasets_preprocess import CONVERTERS
from datasets_preprocess.runner import Shard, run
from datasets_preprocess.verify import verify

logger = logging.getLogger("datasets_preprocess")


def main(arguments: list[str] | None = None) -> int:
    args = parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    if args.command == "list":
        for name, converter in sorted(CONVERTERS.items()):
            logger.info("%-12s %s", name, converter.about)
        return 0
    if args.command == "verify":
        verification = verify(args.dataset, args.out, workers=args.workers)
        logger.info("%s", verification)
        return 1 if verification.problems else 0
    try:
        report = run(
            CONVERTERS[args.command],
            args.raw,
            args.out,
            shard=args.shard,
            workers=args.workers,
            retry_failed=args.retry_failed,
            again=args.again,
            parity=args.parity,
        )
    except (FileNotFoundError, RuntimeError, ValueError) as error:
        logger.error("%s", error)
        return 2
    logger.info("%s", report)
    return 0 if report.complete else 1


def parse_args(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m datasets_preprocess", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the datasets that can be converted")
    check = commands.add_parser("verify", help="open every frame of a processed dataset")
    check.add_argument("dataset", choices=sorted(CONVERTERS))
    check.add_argument("--out", type=Path, required=True, help="the processed folder")
    check.add_argument("--workers", type=int, default=1, help="threads")
    for name, converter in sorted(CONVERTERS.items()):
        command = commands.add_parser(name, help=converter.about)
        command.add_argument("--raw", type=Path, required=True, help="the download, laid out as its owner publishes it")
        command.add_argument("--out", type=Path, required=True, help="the processed folder, made if needed")
        command.add_argument("--shard", type=Shard.parse, default=Shard(), help="3/8: the third of eight machines")
        command.add_argument("--workers", type=int, default=1, help="processes")
        command.add_argument("--retry-failed", action="store_true", help="try scenes again that have failed")
        command.add_argument(
            "--again", nargs="+", default=[], metavar="SCENE", help="convert these again, whatever their records say"
        )
        command.add_argument("--parity", action="store_true", help="repeat the quirks of the original converter")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
