"""Microseconds of processor time that clients take for a POST of 140 bytes, and to claim and ack ten messages.

The faces of ``queuey-client`` and other libraries for HTTP take turns, each in a process of its own, one request after
another on one kept connection. Only the client's process counts. The others send the same fields, make a key for each
request, and read its answer as JSON; they repeat nothing.

    python -m bench.clients [ROUNDS [REQUESTS]]
"""

from __future__ import annotations

import asyncio
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from bench import figures
from bench.arguments import ROUNDS, Number, run
from bench.servers import KEY, ROOT, free_port, make_queue, queuey_command, serving

BODY: Final = b"x" * 140
PATH: Final = "/v2/bench/queues/q/messages"
WARM: Final = 50
CLAIMED: Final = 10

POSTS: Final = ("http.client", "requests", "httpx", "httpx async", "aiohttp", "sync", "aio", "tx")
CLAIMS: Final = ("sync", "aio", "tx")


def fields() -> dict[str, str]:
    """The header of a request."""
    return {
        "Authorization": f"Application {KEY}",
        "Content-Type": "application/octet-stream",
        "Idempotency-Key": f'"{uuid.uuid4().hex}"',
    }


def timed(count: int, once: Callable[[], object]) -> float:
    """Call something so many times, and return the microseconds of processor time of each."""
    for _ in range(WARM):
        once()
    began = time.process_time()
    for _ in range(count):
        once()
    return (time.process_time() - began) / count * 1e6


async def timed_async(count: int, once: Callable[[], Any]) -> float:
    """The same of something that is awaited."""
    for _ in range(WARM):
        await once()
    began = time.process_time()
    for _ in range(count):
        await once()
    return (time.process_time() - began) / count * 1e6


def post_http_client(port: int, count: int) -> float:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)

    def once() -> None:
        connection.request("POST", PATH, BODY, fields())
        json.loads(connection.getresponse().read())

    return timed(count, once)


def post_requests(port: int, count: int) -> float:
    session = importlib.import_module("requests").Session()
    url = f"http://127.0.0.1:{port}{PATH}"
    return timed(count, lambda: session.post(url, data=BODY, headers=fields(), timeout=10).json())


def post_httpx(port: int, count: int) -> float:
    client = importlib.import_module("httpx").Client()
    url = f"http://127.0.0.1:{port}{PATH}"
    return timed(count, lambda: client.post(url, content=BODY, headers=fields()).json())


def post_httpx_async(port: int, count: int) -> float:
    async def main() -> float:
        async with importlib.import_module("httpx").AsyncClient() as client:
            url = f"http://127.0.0.1:{port}{PATH}"

            async def once() -> None:
                (await client.post(url, content=BODY, headers=fields())).json()

            return await timed_async(count, once)

    return asyncio.run(main())


def post_aiohttp(port: int, count: int) -> float:
    async def main() -> float:
        async with importlib.import_module("aiohttp").ClientSession() as session:
            url = f"http://127.0.0.1:{port}{PATH}"

            async def once() -> None:
                async with session.post(url, data=BODY, headers=fields()) as answer:
                    json.loads(await answer.read())

            return await timed_async(count, once)

    return asyncio.run(main())


def sync_face(port: int, count: int, claims: bool) -> float:
    from queuey_client import Client

    queue = Client(f"http://127.0.0.1:{port}", "bench", key=KEY).queue("q")
    if not claims:
        return timed(count, lambda: queue.post(BODY))
    group = queue.group("g")

    def once() -> None:
        group.ack(*group.claim(CLAIMED, wait=0))

    return timed(count, once)


def aio_face(port: int, count: int, claims: bool) -> float:
    from queuey_client.aio import Client

    async def main() -> float:
        async with Client(f"http://127.0.0.1:{port}", "bench", key=KEY) as client:
            return await face(client.queue("q"), count, claims)

    return asyncio.run(main())


def tx_face(port: int, count: int, claims: bool) -> float:
    from twisted.internet import reactor  # noqa: TID251 - a program of its own
    from twisted.internet.defer import Deferred
    from twisted.internet.task import react

    from queuey_client.tx import Client

    found: list[float] = []

    async def main() -> None:
        client = Client(f"http://127.0.0.1:{port}", "bench", key=KEY, reactor=reactor)
        found.append(await face(client.queue("q"), count, claims))
        await client.close()

    with suppress(SystemExit):
        react(lambda reactor: Deferred.fromCoroutine(main()))
    return found[0]


async def face(queue: Any, count: int, claims: bool) -> float:
    """What a face whose answers are awaited takes."""
    if not claims:
        return await timed_async(count, lambda: queue.post(BODY))
    group = queue.group("g")

    async def once() -> None:
        await group.ack(*await group.claim(CLAIMED, wait=0))

    return await timed_async(count, once)


OTHERS: Final[dict[str, Callable[[int, int], float]]] = {
    "http.client": post_http_client,
    "requests": post_requests,
    "httpx": post_httpx,
    "httpx async": post_httpx_async,
    "aiohttp": post_aiohttp,
}
FACES: Final = {"sync": sync_face, "aio": aio_face, "tx": tx_face}


def side(name: str, port: int, count: int, claims: bool) -> Callable[[], float]:
    """A side: a process that prints its figure."""
    command = [sys.executable, "-m", "bench.clients", "--side", name, str(port), str(count), str(int(claims))]

    def measure() -> float:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stderr}")
        return float(done.stdout)

    return measure


def main(rounds: int, requests: int) -> None:
    """Measure and print."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queuey-bench-")))
        port = free_port()
        stack.enter_context(serving(queuey_command(folder, port), port, folder / "servers.log"))
        make_queue(port, "q")
        posts = turns(rounds, {name: side(name, port, requests, False) for name in POSTS})
        for name in FACES:
            figures.show(f"{name} / http.client", posts[name] / posts["http.client"], at_most=12.0)
        fill(port, (requests // CLAIMED + WARM) * CLAIMED * len(CLAIMS) * rounds)
        sides = {
            f"{name}, ten claimed and acked": side(name, port, max(1, requests // CLAIMED), True) for name in CLAIMS
        }
        turns(rounds, sides)


def turns(rounds: int, sides: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Let sides take turns; print and give their medians."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, measure in sides.items():
            found[name].append(measure())
    medians = {name: statistics.median(values) for name, values in found.items()}
    for name, values in found.items():
        print(f"{name}: {medians[name]:.0f} µs of {[round(value) for value in values]}", flush=True)
    return medians


def fill(port: int, count: int) -> None:
    """Post what is claimed."""
    from queuey_client import Client

    with Client(f"http://127.0.0.1:{port}", "bench", key=KEY) as client, client.queue("q").writer() as writer:
        for _ in range(count):
            writer.post(BODY)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        name, port, count, claims = sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == "1"
        print(FACES[name](port, count, claims) if name in FACES else OTHERS[name](port, count))
    else:
        run(main, rounds=ROUNDS, requests=Number(1500, least=10))
