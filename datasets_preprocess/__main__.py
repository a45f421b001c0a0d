"""python -m datasets_preprocess: convert a downloaded dataset, list what can be converted, verify what was."""

import argparse
import logging
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cut3r.jobs.runner import STOP_AFTER
from cut3r.jobs.workers import open_dask
from cut3r.run.flags import as_declared
from cut3r.run.parser import Parser
from datasets_preprocess import CONVERTERS
from datasets_preprocess.defaults import SHARD_GB, TRIAL_SCENES
from datasets_preprocess.options import add_flags, from_flags

if TYPE_CHECKING:  # imported when needed: --help answers at once
    from datasets_preprocess.converter import Converter
    from datasets_preprocess.runner import Shard

logger = logging.getLogger("datasets_preprocess")

PROGRAM = "python -m datasets_preprocess"


def main(arguments: list[str] | None = None, program: str = PROGRAM) -> int:
    """Do what the words say; gives the exit code.

    Args:
        program: The name that it was called by: `cut3r data` is the same.
    """
    args = parse_args(arguments, program)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("distributed").setLevel(logging.WARNING)  # Dask tells of every connection
    try:
        return int(args.act(args))
    except (OSError, RuntimeError, ValueError) as error:
        logger.error("%s", error)
        return 2


def parse_args(arguments: list[str] | None, program: str = PROGRAM) -> argparse.Namespace:
    words = sys.argv[1:] if arguments is None else list(map(str, arguments))
    parser = make_parser(program, words)
    return parser.parse_args(as_declared(parser, words))


def make_parser(program: str = PROGRAM, words: Collection[str] | None = None) -> argparse.ArgumentParser:
    """Declare the flags; of converters only those that `words` name, or of all."""
    parser = Parser(prog=program, description=(__doc__ or "").replace(PROGRAM, program))
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the datasets that can be converted").set_defaults(act=_list)
    check = _about_a_folder(commands, "verify", _verify, "open every frame of a processed dataset, compare its files")
    check.add_argument("--workers", type=int, default=1, help="threads")
    check.add_argument("--compare", type=int, default=8, metavar="N", help="scenes whose frames are compared; 0: none")
    check.add_argument("--parity", action="store_true", help="read it as the original does")
    _add_trial(commands.add_parser("try", help="convert a few scenes into a temporary folder, and look at them"))
    _about_a_folder(commands, "status", _status, "how far a conversion is, from its records")
    _about_a_folder(commands, "finish", _finish, "write again what spans scenes, dataset.json and the index")
    _add_packing(
        _about_a_folder(commands, "pack", _pack, "pack a processed dataset into tar shards, which load faster")
    )
    for name in sorted(CONVERTERS):
        command = commands.add_parser(name, help=CONVERTERS.about(name))
        if words is None or name in words:
            _add_converter(command, CONVERTERS[name])
    return parser


def _about_a_folder(commands: Any, name: str, act: Any, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text)
    command.add_argument("dataset", choices=sorted(CONVERTERS))
    command.add_argument("--out", type=Path, required=True, help="the processed folder")
    command.set_defaults(act=act)
    return command


def _add_converter(command: argparse.ArgumentParser, converter: "Converter") -> None:
    command.set_defaults(act=_convert)
    add = command.add_argument
    add("--raw", type=Path, required=True, help="the download, laid out as its owner publishes it")
    add("--out", type=Path, required=True, help="the processed folder, made if needed")
    add("--shard", type=_shard, help="3/8: the third of eight machines")
    add("--workers", type=int, default=1, help="processes")
    add("--dask", metavar="ADDRESS", help="convert on a Dask cluster: tcp://HOST:8786; local:4 starts one here")
    add("--dry-run", action="store_true", help="say what there is to do; write nothing")
    add("--retry-failed", action="store_true", help="try scenes again that have failed")
    add("--again", nargs="+", default=[], metavar="SCENE", help="convert these again, whatever their records say")
    add("--parity", action="store_true", help="repeat the quirks of the original converter")
    add("--stop-after", type=int, default=STOP_AFTER, metavar="N", help="failures in a row that end a run; 0: none do")
    add("--no-room-check", action="store_true", help="go on though the results will not fit on the disk")
    if converter.options is not None:
        add_flags(command, converter.options)


def _add_trial(command: argparse.ArgumentParser) -> None:
    command.add_argument("dataset", choices=sorted(CONVERTERS))
    command.add_argument("--raw", type=Path, required=True, help="the download, laid out as its owner publishes it")
    command.add_argument("--scenes", type=int, default=TRIAL_SCENES, help="how many at most")
    command.add_argument("--sheet", type=Path, help="where the contact sheet goes (try_NAME.png)")
    command.add_argument("--seed", type=int, default=0, help="of the choice of scenes")
    command.add_argument("--parity", action="store_true", help="with the quirks of the original")
    command.set_defaults(act=_try)


def _add_packing(command: argparse.ArgumentParser) -> None:
    command.add_argument("--to", type=Path, required=True, help="the packed folder, made if needed")
    command.add_argument("--shard-gb", type=float, default=SHARD_GB, help="GiB of a shard (default: %(default)s)")
    command.add_argument("--workers", type=int, default=1, help="processes")


def _shard(text: str) -> "Shard":
    from datasets_preprocess.runner import Shard

    return Shard.parse(text)


def _pack(args: argparse.Namespace) -> int:
    from datasets_preprocess.pack import pack

    how = {"shard_gb": args.shard_gb, "workers": args.workers}
    packing = pack(CONVERTERS[args.dataset], args.out, args.to, **how)
    logger.info("%s", packing)
    return 0 if packing.complete else 1


def _try(args: argparse.Namespace) -> int:
    from datasets_preprocess.trial import try_out

    sheet = args.sheet or Path(f"try_{args.dataset}.png")
    converter = CONVERTERS[args.dataset]
    trial = try_out(converter, args.raw, sheet, scenes=args.scenes, seed=args.seed, parity=args.parity)
    logger.info("%s", trial)
    return 1 if trial.failed or trial.proof.problems else 0


def _list(args: argparse.Namespace) -> int:
    for name, converter in sorted(CONVERTERS.items()):
        logger.info("%-12s %s", name, converter.about)
    return 0


def _verify(args: argparse.Namespace) -> int:
    from datasets_preprocess.verify import verify

    how = {"workers": args.workers, "parity": args.parity, "compared": args.compare}
    verification = verify(args.dataset, args.out, converter=CONVERTERS[args.dataset], **how)
    logger.info("%s", verification)
    return 1 if verification.problems else 0


def _status(args: argparse.Namespace) -> int:
    from datasets_preprocess.status import status

    logger.info("%s", status(args.out))
    return 0


def _finish(args: argparse.Namespace) -> int:
    from datasets_preprocess.finish import finish

    if not args.out.is_dir():
        raise FileNotFoundError(f"there is no folder {args.out}")
    logger.info("%s", finish(CONVERTERS[args.dataset], args.out))
    return 0


def _convert(args: argparse.Namespace) -> int:
    from datasets_preprocess.runner import Shard, make_plan, run

    converter = CONVERTERS[args.command]
    what = {
        "shard": args.shard or Shard(),
        "retry_failed": args.retry_failed,
        "again": args.again,
        "parity": args.parity,
        "options": from_flags(converter.options, args),
    }
    if args.dry_run:
        logger.info("%s", make_plan(converter, args.raw, args.out, **what))
        return 0
    how = {"workers": args.workers, "stop_after": args.stop_after, "check_room": not args.no_room_check}
    if args.dask is None:
        report = run(converter, args.raw, args.out, **what, **how)
    else:
        with open_dask(args.dask) as executor:
            report = run(converter, args.raw, args.out, **what, **how, executor=executor)
    logger.info("%s", report)
    return 0 if report.complete else 1


if __name__ == "__main__":
    sys.exit(main())
