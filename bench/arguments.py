"""Reads the arguments of the benchmarks: a few optional numbers."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs


@attrs.frozen
class Number:
    """A number that a benchmark takes; it is whole where its default is.

    :ivar least: the least that makes sense; any number above 0 where it is 0.
    """

    default: int | float
    least: float = 0
    most: float = math.inf

    def read(self, text: str) -> int | float:
        """The number that a text is.

        :raise argparse.ArgumentTypeError: where it is none, or makes no sense.
        """
        kind = type(self.default)
        try:
            found = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a {'whole ' if kind is int else ''}number") from None
        if found > 0 and self.least <= found <= self.most and math.isfinite(found):
            return found
        allowed = f"at least {self.least:g}" if self.least else "above 0"
        upper = f" and at most {self.most:g}" if math.isfinite(self.most) else ""
        raise argparse.ArgumentTypeError(f"{text} is not {allowed}{upper}")


@attrs.frozen
class Folder:
    """A folder that a benchmark may be given, as an option."""

    def read(self, text: str) -> Path:
        """The folder that a text is.

        :raise argparse.ArgumentTypeError: where there is none.
        """
        if not Path(text).is_dir():
            raise argparse.ArgumentTypeError(f"{text} is no folder")
        return Path(text).absolute()


ROUNDS = Number(5)
SECONDS = Number(3.0)


def run(main: Callable[..., None], *flags: str, **values: Number | Folder) -> None:
    """Call what measures, with the values of the command line and then the flags, as they are or as they were given.

    :param values: by their names, numbers in the order in which they are given; a folder that is not is ``None``.
    :raise SystemExit: with status 2 where something else was given, after a line that says what is wrong.
    """
    main(*_given(sys.argv[1:], flags, values))


def _given(arguments: list[str], flags: tuple[str, ...], values: dict[str, Number | Folder]) -> list[Any]:
    about = sys.modules["__main__"].__doc__
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in values.items():
        if isinstance(value, Number):
            parser.add_argument(name, metavar=name.upper(), nargs="?", type=value.read, default=value.default)
        else:
            parser.add_argument(f"--{name}", metavar="FOLDER", type=value.read)
    for flag in flags:
        parser.add_argument(f"--{flag}", action="store_true")
    found = vars(parser.parse_intermixed_args(arguments))
    return [found[name] for name in (*values, *flags)]
