"""What the benchmarks are told when they are called: a few numbers, each of which may be left out."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
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


ROUNDS = Number(5)
SECONDS = Number(3.0)


def run(main: Callable[..., None], *flags: str, **numbers: Number) -> None:
    """Call what measures, with the numbers of the command line and then the flags, as they are or as they were given.

    :param numbers: by their names, in the order in which they are given.
    :raise SystemExit: with status 2 where something else was given, after a line that says what is wrong.
    """
    main(*_given(sys.argv[1:], flags, numbers))


def _given(arguments: list[str], flags: tuple[str, ...], numbers: dict[str, Number]) -> list[Any]:
    about = sys.modules["__main__"].__doc__
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in numbers.items():
        parser.add_argument(name, metavar=name.upper(), nargs="?", type=number.read, default=number.default)
    for flag in flags:
        parser.add_argument(f"--{flag}", action="store_true")
    found = vars(parser.parse_intermixed_args(arguments))
    return [found[name] for name in (*numbers, *flags)]
