"""Workers of consumer groups: each claims, reads the receipts, acks all of them at once, and claims again.

Run as a program of its own, so that it takes no time from the server's process:

    python -m bench.workers PORT WORKERS SECONDS CLAIM COUNT GROUP

CLAIM is how many messages are claimed at once, GROUP the path of the group. Where that has ``{NUMBER}`` in it, there
are COUNT groups, with a number of seven digits there, and each worker goes through a share of them, which is its own
where COUNT is a multiple of WORKERS. A worker ends when its time is over, or when a claim gives it nothing. It prints
one line of JSON: messages that were acked, the seconds until the last of them was, claims and settlements that were
answered, how many were no 2xx or were never answered, whether the messages came to an end, and the processor time that
all of this took here.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count as counting
from typing import Any, Final

import attrs

from bench.load import NUMBER, answer_end
from bench.servers import ROOT, request

_RECEIPT: Final = re.compile(rb'"receipt": ?"([^"]+)"')


@attrs.define
class Tally:
    """What came of a run.

    :ivar until: when the time is over, of the clock that counts on, and ``last`` when the last message was acked.
    :ivar answered: claims and settlements.
    :ivar dry: whether a claim got nothing.
    """

    until: float
    last: float = 0.0
    messages: int = 0
    answered: int = 0
    refused: int = 0
    dry: bool = False


@attrs.frozen
class Requests:
    """What is asked of a group.

    :ivar claim: the whole request.
    """

    claim: bytes
    _settlements: str

    def ack(self, receipts: list[bytes]) -> bytes:
        """The request that acks messages."""
        body = b'{"ack":["%s"]}' % b'","'.join(receipts)
        return request("POST", self._settlements, body, Content_Type="application/json")


def requests_to(group: str, claim: int) -> Requests:
    """What is asked of the group at a path, so many messages at once."""
    body = b'{"limit":%d}' % claim
    return Requests(request("POST", f"{group}/claims", body, Content_Type="application/json"), f"{group}/settlements")


def groups_at(path: str, claim: int, count: int) -> list[Requests]:
    """What is asked of each of the groups at a path with a place for their numbers."""
    place = NUMBER.decode()
    return [requests_to(path.replace(place, f"{number:07d}"), claim) for number in range(count)]


def share(groups: Sequence[Requests], worker: int, workers: int) -> Iterator[Requests]:
    """The groups that one of some workers goes through, without an end."""
    return (groups[number % len(groups)] for number in counting(worker, workers))


class Worker(asyncio.Protocol):
    """Claims and acks by turns until the time is over, or there is nothing left."""

    def __init__(self, groups: Iterator[Requests], tally: Tally, done: asyncio.Future[None]) -> None:
        self._groups = groups
        self._tally = tally
        self._done = done
        self._received = b""
        self._held: list[bytes] = []
        self._waits = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._claim()

    def _claim(self) -> None:
        self._requests = next(self._groups)
        self._send(self._requests.claim)

    def _send(self, text: bytes) -> None:
        self._waits = True
        self._transport.write(text)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if answer_end(self._received) is None:
            return
        answer, self._received, self._waits = self._received, b"", False
        self._tally.answered += 1
        if not answer.startswith(b"HTTP/1.1 2"):
            self._tally.refused += 1
            self._transport.close()
        elif self._held:
            self._acked()
        else:
            self._claimed(_RECEIPT.findall(answer))

    def _claimed(self, receipts: list[bytes]) -> None:
        if not receipts:
            self._tally.dry = True
            self._transport.close()
            return
        self._held = receipts
        self._send(self._requests.ack(receipts))

    def _acked(self) -> None:
        self._tally.messages += len(self._held)
        self._tally.last = time.perf_counter()
        self._held = []
        if self._tally.last >= self._tally.until:
            self._transport.close()
        else:
            self._claim()

    def connection_lost(self, error: Exception | None) -> None:
        self._tally.refused += self._waits
        if not self._done.done():
            self._done.set_result(None)


async def run(port: int, workers: int, seconds: float, groups: Sequence[Requests]) -> dict[str, Any]:
    """Let workers work on a server of this machine.

    :return: what the module's docstring says.
    """
    loop = asyncio.get_running_loop()
    began, busy = time.perf_counter(), time.process_time()
    tally = Tally(began + seconds, began)
    waits = []
    for number in range(workers):
        done: asyncio.Future[None] = loop.create_future()
        waits.append(done)
        await loop.create_connection(partial(Worker, share(groups, number, workers), tally, done), "127.0.0.1", port)
    await asyncio.wait_for(asyncio.gather(*waits), seconds + 30)
    took = max(tally.last - began, 1e-9)
    return {
        "messages": tally.messages,
        "rate": tally.messages / took,
        "seconds": took,
        "answered": tally.answered,
        "asked_rate": tally.answered / took,
        "refused": tally.refused,
        "dry": tally.dry,
        "cpu": time.process_time() - busy,
    }


def work(port: int, workers: int, seconds: float, claim: int, group: str, count: int = 1) -> dict[str, Any]:
    """Let workers work, in a process of their own, and wait for their end; what that prints.

    :raise RuntimeError: if it broke off.
    """
    numbers = [str(number) for number in (port, workers, seconds, claim, count)]
    command = [sys.executable, "-m", "bench.workers", *numbers, group]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=seconds + 60)
    if done.returncode:
        raise RuntimeError(f"the workers ended with status {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main(port: str, workers: str, seconds: str, claim: str, count: str, group: str) -> None:
    """Run, and print."""
    groups = groups_at(group, int(claim), int(count))
    print(json.dumps(asyncio.run(run(int(port), int(workers), float(seconds), groups))))


if __name__ == "__main__":
    main(*sys.argv[1:])
