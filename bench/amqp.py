"""The load generator for AMQP: :mod:`bench.load` for RabbitMQ's own protocol, with confirms.

Each connection publishes a persistent message of 140 bytes, waits until it is confirmed, and publishes the next one.
Run as a program of its own:

    python -m bench.amqp PORT QUEUE CONNECTIONS SECONDS

It prints what :mod:`bench.load` prints; the time begins once all connections are there.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import Any, Final

from pika import BasicProperties, ConnectionParameters
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.spec import Basic

from bench.load import Tally, summary
from bench.servers import ROOT

BODY: Final = b"x" * 140
PERSISTENT: Final = 2

OPENING: Final = 60.0
"""Seconds that all connections together may take to open."""


class Publisher:
    """One connection."""

    def __init__(self, port: int, queue: str) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()
        self._queue = queue
        self._waits = False
        self._connection = AsyncioConnection(
            ConnectionParameters("127.0.0.1", port, heartbeat=0),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self._opened),
            on_open_error_callback=self._failed,
            on_close_callback=self._closed,
        )

    def _opened(self, channel: Any) -> None:
        self._channel = channel
        channel.confirm_delivery(self._confirmed, lambda frame: self.ready.set_result(None))

    def _failed(self, connection: Any, error: BaseException) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)

    def begin(self, tally: Tally) -> None:
        """Publish until the time is over."""
        self._tally = tally
        self._publish()

    def _publish(self) -> None:
        self._waits = True
        self._sent_at = time.perf_counter()
        self._channel.basic_publish("", self._queue, BODY, BasicProperties(delivery_mode=PERSISTENT))

    def _confirmed(self, frame: Any) -> None:
        now = time.perf_counter()
        self._tally.answer(self._sent_at, now, isinstance(frame.method, Basic.Ack))
        self._waits = False
        if now >= self._tally.until:
            self._connection.close()
        else:
            self._publish()

    def _closed(self, connection: Any, reason: BaseException) -> None:
        self._failed(connection, reason)
        if not self.done.done():
            if self._waits:
                self._tally.refused += 1
            self.done.set_result(None)


async def run(port: int, queue: str, connections: int, seconds: float) -> dict[str, Any]:
    """Put load on a RabbitMQ of this machine.

    :return: what :mod:`bench.load` says.
    """
    publishers = [Publisher(port, queue) for _ in range(connections)]
    await asyncio.wait_for(asyncio.gather(*(publisher.ready for publisher in publishers)), OPENING)
    began_at, began = time.time(), time.perf_counter()
    tally = Tally(began, began + seconds)
    for publisher in publishers:
        publisher.begin(tally)
    await asyncio.wait_for(asyncio.gather(*(publisher.done for publisher in publishers)), seconds + 30)
    return summary(tally, began_at)


def load(port: int, queue: str, connections: int, seconds: float) -> dict[str, Any]:
    """Put load on a RabbitMQ from a process of its own, and wait for its end; what that prints.

    :raise RuntimeError: if it broke off.
    """
    command = [sys.executable, "-m", "bench.amqp", str(port), queue, str(connections), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=seconds + OPENING + 60)
    if done.returncode:
        raise RuntimeError(f"the load generator ended with status {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main(port: str, queue: str, connections: str, seconds: str) -> None:
    """Run, and print."""
    print(json.dumps(asyncio.run(run(int(port), queue, int(connections), float(seconds)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
