"""Histories of FIFO queues over real sockets, by clients of boto3, while daemons are broken."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.histories.sqs.checkers import Verdict, judge, problems
from tests.histories.sqs.clients import MAX_VISIBILITY, Call, Producer, RefusedError, UnansweredError, Worker
from tests.histories.sqs.record import History
from tests.live.sqs.support import PAIR

PRODUCERS: Final = 2
WORKERS: Final = 3
GROUPS: Final = ("A", "B", "C", "D")
PAUSE: Final = 0.05
"""Seconds between two calls of a client."""

QUIET: Final = MAX_VISIBILITY + 1.0
"""Seconds without a message after which a queue is empty."""

EMPTIED: Final = 120.0
"""Seconds within which a queue becomes empty once nothing is broken any more."""

ATTRIBUTES: Final = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
NAME: Final = "orders.fifo"


def client(port: int) -> Any:
    """A client of boto3 that tries each call once, and takes only whole answers."""
    found = boto3.client(
        "sqs",
        endpoint_url=f"http://127.0.0.1:{port}/sqs",
        region_name="us-east-1",
        aws_access_key_id=PAIR.id,
        aws_secret_access_key=PAIR.secret,
        config=Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=30),
    )
    found.meta.events.register("before-parse.sqs", _check_whole)
    return found


def _check_whole(response_dict: Mapping[str, Any], **_: Any) -> None:
    """Refuse an answer that was cut. botocore makes an answer without fields, or without members, of it.

    :raise UnansweredError: it was.
    """
    length = response_dict["headers"].get("content-length", "")
    if not length.isdecimal() or int(length) != len(response_dict["body"]):
        raise UnansweredError


def caller(clients: Sequence[Any], random: Random, history: History) -> Call:
    """Call operations by one of some clients: another one after each call without an answer."""
    methods = {
        "SendMessage": "send_message",
        "SendMessageBatch": "send_message_batch",
        "ReceiveMessage": "receive_message",
        "DeleteMessage": "delete_message",
        "DeleteMessageBatch": "delete_message_batch",
        "ChangeMessageVisibility": "change_message_visibility",
        "ChangeMessageVisibilityBatch": "change_message_visibility_batch",
    }
    place = random.randrange(len(clients))

    def ask(operation: str, members: Mapping[str, Any]) -> Mapping[str, Any]:
        nonlocal place
        try:
            return _ask(clients[place], methods[operation], members, history)
        except UnansweredError:
            place = (place + 1) % len(clients)
            time.sleep(PAUSE)
            raise

    return ask


def _ask(sqs: Any, method: str, members: Mapping[str, Any], history: History) -> Mapping[str, Any]:
    try:
        answer: Mapping[str, Any] = getattr(sqs, method)(**members)
    except BotoCoreError:
        raise UnansweredError from None
    except ClientError as error:
        told = error.response["ResponseMetadata"]
        if told["HTTPStatusCode"] == 503:
            raise UnansweredError from None
        code = error.response["Error"]["Code"]
        if told["HTTPStatusCode"] >= 500:
            history.wrong.append(f"{method}: {code}")
        raise RefusedError(code) from None
    return answer


class Field:
    """Producers and workers at one queue, before one or several places that serve it.

    :ivar history: what they did and saw.
    :ivar verdicts: of the checkers, once they have judged.
    """

    def __init__(self, ports: Sequence[int], seed: int) -> None:
        """Begin nothing yet.

        :param ports: where clients go, which may be proxies.
        """
        self.history = History(time.monotonic)
        self.verdicts: list[Verdict] = []
        self._ports = ports
        self._seed = seed
        self._stopped = threading.Event()
        self._clients: list[Any] = []

    def make_queue(self, port: int) -> None:
        """Make the queue."""
        self._client(port).create_queue(QueueName=NAME, Attributes=ATTRIBUTES)

    def _client(self, port: int) -> Any:
        found = client(port)
        self._clients.append(found)
        return found

    def close(self) -> None:
        """Close the connections of all clients."""
        for one in self._clients:
            one.close()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let producers and workers work meanwhile; afterwards everything is answered that was sent."""
        url = f"http://127.0.0.1:{self._ports[0]}/sqs/1/{NAME}"
        producers = [
            Producer(name, self._caller(name), self.history, random, url, GROUPS)
            for name, random in self._named("producer", PRODUCERS)
        ]
        workers = [
            Worker(name, self._caller(name), self.history, random, url, wait)
            for wait, (name, random) in enumerate(self._named("worker", WORKERS))
        ]
        steps = [one.step for one in producers] + [one.step for one in workers]
        hands = [threading.Thread(target=self._work, args=(step,), daemon=True) for step in steps]
        for hand in hands:
            hand.start()
        try:
            yield
        finally:
            self._stopped.set()
            for hand in hands:
                hand.join(EMPTIED)
                assert not hand.is_alive()
        until = time.monotonic() + EMPTIED
        for producer in producers:
            while producer.open and time.monotonic() < until:
                producer.step()

    def _named(self, word: str, number: int) -> Iterator[tuple[str, Random]]:
        for place in range(number):
            name = f"{word}{place}"
            yield name, Random(f"{name} of {self._seed}")

    def _caller(self, name: str) -> Call:
        clients = [self._client(port) for port in self._ports]
        return caller(clients, Random(f"places of {name} of {self._seed}"), self.history)

    def _work(self, step: Callable[[], None]) -> None:
        try:
            while not self._stopped.wait(PAUSE):
                step()
        except Exception as error:
            self.history.wrong.append(f"a client ended by {error!r}")

    def judge(self, port: int, settles: float = 0.0) -> list[str]:
        """Empty the queue, with nothing broken any more, and let all checkers look at what was done.

        :param settles: seconds after which everything that was sent can be received.
        :return: what is wrong.
        """
        self._ports = [port]
        sqs = self._client(port)
        url = sqs.get_queue_url(QueueName=NAME)["QueueUrl"]
        worker = Worker("end", self._caller("end"), self.history, Random(self._seed), url, wait=1)
        began = last = time.monotonic()
        while time.monotonic() < last + QUIET + settles:
            if worker.drain():
                last = time.monotonic()
            if last > began + EMPTIED:
                self.history.wrong.append("the queue does not become empty")
                break
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        left = {name: found[f"ApproximateNumberOfMessages{name}"] for name in ("", "NotVisible", "Delayed")}
        if {*left.values()} != {"0"}:
            self.history.wrong.append(f"the queue was emptied, and says of itself: {left}")
        self.verdicts = judge(self.history)
        return self.history.wrong + problems(self.verdicts)

    def report(self) -> None:
        """Print the seed, what was done, and what each checker looked at."""
        lines = [f"QUEUEY_SEED={self._seed}", *self.history.lines()]
        lines += [f"checker {one.checker}: looked at {one.looked}, found {len(one.wrong)}" for one in self.verdicts]
        sys.stdout.write("\n".join(lines) + "\n")

    def idle(self) -> list[str]:
        """Return the checkers that looked at nothing; whether attempts are repeated in time is left to chance."""
        return [one.checker for one in self.verdicts if not one.looked and one.checker != "not_repeated"]
