"""Producers and workers of a FIFO queue, which do one thing after another at random, and note what they saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, Final

import attrs

from tests.histories.sqs.record import Got, History, Outcome, Received, Sent, Settled

MAX_VISIBILITY: Final = 4
"""Seconds for which a receive hides messages, at most."""

MAX_BATCH: Final = 5

STALE: Final = frozenset(("InvalidParameterValue", "AWS.SimpleQueueService.MessageNotInflight"))
"""What a client may be answered that settles a message too late."""


class UnansweredError(Exception):
    """No answer came, or one that says nothing of what became of the request."""


class RefusedError(Exception):
    """The answer is an error of the client.

    :ivar code: of the error.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


Call = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""Calls an operation. It raises one of the two errors."""


@attrs.frozen
class Message:
    """What a producer sends."""

    group: str
    body: str

    def members(self, by_content: bool) -> dict[str, Any]:
        """Return its members of a call.

        :param by_content: whether the body decides about its deduplication id.
        """
        found = {"MessageBody": self.body, "MessageGroupId": self.group}
        return found if by_content else {**found, "MessageDeduplicationId": f"id-{self.body}"}


@attrs.define
class Producer:
    """Sends messages, one call after another. What was not answered is sent again before anything else.

    :ivar name: of the producer, with which its bodies begin.
    :ivar groups: message groups, which it shares with others.
    """

    name: str
    call: Call
    history: History
    random: Random
    url: str
    groups: Sequence[str]
    _sent: list[Message] = attrs.Factory(list)
    _open: list[Message] = attrs.Factory(list)

    @property
    def open(self) -> bool:
        """Whether something has to be sent again."""
        return bool(self._open)

    def step(self) -> None:
        """Send one message, or several in a batch."""
        some = self._open or self._some()
        invoked = self.history.now()
        try:
            answers = self._send(some)
        except UnansweredError:
            answers = {}
        ended = self.history.now()
        for place, message in enumerate(some):
            answer = answers.get(place, {})
            number = int(answer.get("SequenceNumber", 0))
            known = answer.get("MessageId")
            self.history.add(Sent(self.name, message.group, message.body, invoked, ended, known, number))
        self._open = [message for place, message in enumerate(some) if place not in answers]

    def _some(self) -> list[Message]:
        return [self._one() for _ in range(1 if self.random.random() < 0.5 else self.random.randint(2, MAX_BATCH))]

    def _one(self) -> Message:
        if self._sent and self.random.random() < 0.2:
            return self.random.choice(self._sent[-20:])  # a repeat
        message = Message(self.random.choice(self.groups), f"{self.name}-{len(self._sent)}")
        self._sent.append(message)
        return message

    def _members(self, message: Message) -> dict[str, Any]:
        return message.members(int(message.body.rpartition("-")[2]) % 2 == 0)

    def _send(self, some: Sequence[Message]) -> dict[int, Mapping[str, Any]]:
        """Return the answers, by their places."""
        if len(some) == 1:
            return {0: self.call("SendMessage", {"QueueUrl": self.url, **self._members(some[0])})}
        entries = [{"Id": str(place), **self._members(message)} for place, message in enumerate(some)]
        answer = self.call("SendMessageBatch", {"QueueUrl": self.url, "Entries": entries})
        for one in answer.get("Failed", ()):
            if one["SenderFault"]:
                self.history.wrong.append(f"{self.name} was refused a message of a batch: {one}")
        return {int(one["Id"]): one for one in answer.get("Successful", ())}


@attrs.define
class Worker:
    """Receives messages, and settles them, late, in part, in another order, or not at all.

    :ivar wait: seconds that a receive may wait.
    """

    name: str
    call: Call
    history: History
    random: Random
    url: str
    wait: int = 0
    _count: int = 0
    _repeat: Received | None = None
    _limit: int = 1
    _held: list[Got] = attrs.Factory(list)

    def step(self) -> None:
        """Do one thing."""
        if self._repeat is not None or not self._held:
            self.receive()
        else:
            self._settle()

    def drain(self) -> bool:
        """Receive once, and delete what came. :return: whether anything did, or may have."""
        self._repeat, self._held = None, []
        self._begin(MAX_VISIBILITY, 10)
        received = self._receive()
        self._delete(self._held)
        self._repeat, self._held = None, []
        return received.outcome is not Outcome.DONE or bool(received.messages)

    # Receiving

    def receive(self) -> None:
        """Receive messages; sometimes once more with the same attempt id."""
        if self._repeat is None:
            self._begin(self.random.randint(2, MAX_VISIBILITY), self.random.randint(1, 10))
        received = self._receive()
        again = 0.7 if received.outcome is Outcome.UNKNOWN else 0.3
        if self.random.random() >= again:
            self._repeat = None

    def _begin(self, visibility: int, limit: int) -> None:
        """Begin an attempt."""
        self._count += 1
        self._limit = limit
        attempt = f"{self.name}-{self._count}"
        self._repeat = Received(self.name, attempt, visibility, 0, 0, Outcome.UNKNOWN)

    def _receive(self) -> Received:
        assert self._repeat is not None
        asked = {
            "QueueUrl": self.url,
            "MaxNumberOfMessages": self._limit,
            "VisibilityTimeout": int(self._repeat.visibility),
            "WaitTimeSeconds": self.wait,
            "ReceiveRequestAttemptId": self._repeat.attempt,
            "MessageSystemAttributeNames": ["All"],
        }
        invoked = self.history.now()
        try:
            answer = self.call("ReceiveMessage", asked)
        except UnansweredError:
            outcome, given = Outcome.UNKNOWN, []
        else:
            outcome, given = Outcome.DONE, answer.get("Messages", [])
        found = tuple(_got(one) for one in given)
        ended = self.history.now()
        received = attrs.evolve(self._repeat, invoked=invoked, ended=ended, outcome=outcome, messages=found)
        self.history.add(received)
        self._held = list(found)
        return received

    # Settling

    def _settle(self) -> None:
        """Settle what is held."""
        held, way = self._held, self.random.random()
        if way < 0.12:
            self._change(held[:1], self.random.randint(1, MAX_VISIBILITY))
            return  # and go on with all of it later
        self._held = []
        some = self.random.randrange(len(held) + 1)
        if way < 0.6:
            self._delete(held)
        elif way < 0.75:
            self._delete(held[:some])
            self._change(held[some:], 0)
        elif way < 0.85:
            self._delete(held[-1:])
        elif way < 0.95:
            self._delete(held[:some])

    def _delete(self, some: Sequence[Got]) -> None:
        self._each("DeleteMessage", some, None)

    def _change(self, some: Sequence[Got], visibility: int) -> None:
        self._each("ChangeMessageVisibility", some, visibility)

    def _each(self, operation: str, some: Sequence[Got], visibility: int | None) -> None:
        """Settle messages, one by one or in a batch."""
        more = {} if visibility is None else {"VisibilityTimeout": visibility}
        asked = [{"ReceiptHandle": one.handle, **more} for one in some]
        if len(some) > 1 and self.random.random() < 0.5:
            entries = [{"Id": str(place), **one} for place, one in enumerate(asked)]
            self._note(some, visibility, lambda: self._batch(f"{operation}Batch", entries))
            return
        for one, given in zip(some, asked, strict=True):
            members = {"QueueUrl": self.url, **given}
            self._note([one], visibility, lambda members=members: self._single(operation, members))  # type: ignore[misc]

    def _single(self, operation: str, members: Mapping[str, Any]) -> Iterator[str]:
        try:
            self.call(operation, members)
        except RefusedError as error:
            yield error.code
        else:
            yield ""

    def _batch(self, operation: str, entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        answer = self.call(operation, {"QueueUrl": self.url, "Entries": entries})
        failed = {one["Id"]: one["Code"] for one in answer.get("Failed", ())}
        for one in entries:
            yield failed.get(one["Id"], "")

    def _note(self, some: Sequence[Got], visibility: int | None, ask: Callable[[], Iterator[str]]) -> None:
        """Ask for something, and note what became of each message."""
        invoked = self.history.now()
        try:
            codes = list(ask())
        except UnansweredError:
            outcomes = [Outcome.UNKNOWN] * len(some)
        else:
            outcomes = [Outcome.REFUSED if code else Outcome.DONE for code in codes]
            for code in {*codes} - STALE - {""}:
                self.history.wrong.append(f"{self.name} was refused to settle: {code}")
        ended = self.history.now()
        for one, outcome in zip(some, outcomes, strict=True):
            self.history.add(Settled(self.name, one, visibility, invoked, ended, outcome))


def _got(one: Mapping[str, Any]) -> Got:
    system = one["Attributes"]
    return Got(
        one["MessageId"],
        one["Body"],
        system["MessageGroupId"],
        int(system["SequenceNumber"]),
        int(system["ApproximateReceiveCount"]),
        one["ReceiptHandle"],
    )
