"""How figures are taken and shown: sides take turns, and what is compared is printed with what was asked of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from bench.load import BUCKET
from bench.servers import load

MIB: Final = 1 << 20


def good(name: str, result: dict[str, Any]) -> dict[str, Any]:
    """The result of a load of which everything was answered 2xx.

    :raise SystemExit: if anything was not, or nothing was answered.
    """
    if result["refused"]:
        raise SystemExit(f"{name} refused {result['refused']} of {result['answered']} requests")
    if not result["answered"]:
        raise SystemExit(f"{name} answered nothing")
    return result


def rate(name: str, port: int, connections: int, seconds: float, request: bytes, count: int = 1) -> float:
    """Answers a second under load; see :func:`bench.servers.load`."""
    return float(good(name, load(port, connections, seconds, request, count))["rate"])


def alternating(rounds: int, sides: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Let sides take turns, so that whatever else the machine does meets them alike; print and give their medians."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, measure in sides.items():
            found[name].append(measure())
    medians = {name: statistics.median(values) for name, values in found.items()}
    for name, values in found.items():
        print(f"{name}: {medians[name]:.0f}/s of {[round(value) for value in values]}", flush=True)
    return medians


def show(what: str, ratio: float, at_least: float | None = None, at_most: float | None = None) -> None:
    """Print a ratio, with what was asked of it."""
    asked = f" (at least {at_least:.2f})" if at_least is not None else ""
    asked += f" (at most {at_most:.2f})" if at_most is not None else ""
    print(f"{what}: {ratio:.2f}{asked}", flush=True)


@attrs.frozen
class Interval:
    """From when to when something went on, in seconds since 1970."""

    begin: float
    end: float


def rates_in_and_out(
    result: dict[str, Any], intervals: Sequence[Interval], warm_up: float, margin: float
) -> tuple[list[float], float]:
    """How quickly a load was answered during each of some intervals, and while none of them went on.

    :param warm_up: seconds at the beginning that count as neither, and so do the load's last ones.
    :param margin: seconds before and after each interval that count as neither.
    """
    first, last = result["began"] + warm_up, result["began"] + len(result["series"]) * BUCKET - BUCKET
    inside: list[list[int]] = [[] for _ in intervals]
    outside: list[int] = []
    for number, answers in enumerate(result["series"]):
        middle = result["began"] + (number + 0.5) * BUCKET
        if first < middle < last:
            if not any(i.begin - margin < middle < i.end + margin for i in intervals):
                outside.append(answers)
            for interval, answered in zip(intervals, inside, strict=True):
                if interval.begin <= middle < max(interval.end, interval.begin + BUCKET):
                    answered.append(answers)
    if not outside or not all(inside):
        raise SystemExit("POSTs did not go on during, before and after all that was to be measured")
    return [statistics.mean(answered) / BUCKET for answered in inside], statistics.mean(outside) / BUCKET


def show_in_and_out(what: str, result: dict[str, Any], intervals: Sequence[Interval]) -> None:
    """Print how quickly POSTs were answered while something went on, how quickly otherwise, and the ratio."""
    inside, outside = rates_in_and_out(good("queuey", result), intervals, 1.0, 0.3)
    lengths = [interval.end - interval.begin for interval in intervals]
    during = statistics.fmean(inside, lengths)
    print(f"without: {outside:.0f}/s")
    print(f"while {what}: {during:.0f}/s of {[round(one) for one in inside]}")
    print(f"seconds of {what}: {', '.join(f'{length:.1f}' for length in lengths)}")
    show(f"POSTs while {what} / without", during / outside, at_least=0.7)


@attrs.frozen
class Memory:
    """What a process has in memory, in bytes: now, and at the most since it was last asked to forget that."""

    resident: int
    peak: int


def memory(pid: int) -> Memory:
    """How much memory a process has."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    resident, peak = (int(status[name].split()[0]) << 10 for name in ("VmRSS", "VmHWM"))
    return Memory(resident, peak)


def forget_peak(pid: int) -> None:
    """Let the peak of a process's memory count from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
