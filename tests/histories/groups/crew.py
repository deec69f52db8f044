"""The same minds over HTTP, each in a thread of its own."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Any, Final

import attrs

from tests.histories.clients import PATIENCE, Answer, Client, Log, Worker, rest, stored
from tests.histories.groups.history import (
    Asked,
    Claimed,
    Given,
    GroupHistory,
    Letter,
    Plan,
    Redriven,
    Settled,
    Sought,
    letter_of,
)
from tests.histories.groups.history import given as seen
from tests.histories.groups.intents import Intent, Rest, ToClaim, ToRedrive, ToSeek, ToSettle
from tests.histories.groups.minds import DEAD, Mind, Told
from tests.histories.producers import AGAIN
from tests.live.cassandra.histories import Outcome
from tests.live.cassandra.load import Target

JSON: Final = {"Content-Type": "application/json"}


class ServerClock:
    """The wall clock as the servers have it, which a test may set.

    :ivar ahead: seconds by which it is ahead of the machine's.
    """

    def __init__(self) -> None:
        self.ahead = 0.0
        self._most = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    def latest(self) -> float:
        """The greatest time that it can have come to; ids are never behind a clock that was set back."""
        return time.time() + self._most

    def set(self, ahead: float) -> None:
        """Learn that it is set."""
        self.ahead = ahead
        self._most = max(self._most, ahead)


def claims_of_several(log: Log) -> str:
    """Where claims of several groups are made."""
    return f"{log.path.partition('/queues/')[0]}/claims"


def path_of(log: Log, group: str) -> str:
    """Where a group is."""
    return f"{log.path.removesuffix('/messages')}/groups/{group}"


@attrs.frozen
class _Asking:
    """One request of a client, from its beginning."""

    who: str
    plan: Plan
    log: Log
    clock: ServerClock
    client: Client
    invoked: float

    def do(self, intent: Intent) -> tuple[Told, Answer]:
        """Ask."""
        if isinstance(intent, ToClaim):
            return self._claim(intent)
        if isinstance(intent, ToSettle):
            return self._settle(intent)
        if isinstance(intent, ToSeek):
            return self._seek(intent)
        assert isinstance(intent, ToRedrive)
        return self._redrive(intent)

    def _claim(self, intent: ToClaim) -> tuple[Told, Answer]:
        wanted: dict[str, Any] = {
            "limit": intent.limit,
            "lease": intent.lease,
            "wait": intent.wait,
            "max_bytes": intent.max_bytes,
            "partitions": intent.partitions,
        }
        if intent.groups:
            settle = dict(intent.settle)
            wanted["from"] = [
                {"queue": self.log.name, "group": group, "settle": _settle(settle.get(group, ()))}
                for group in intent.groups
            ]
            wanted["order"] = "fair" if intent.fair else "strict"
        headers = {} if intent.key is None else {"Idempotency-Key": f'"{intent.key}"'}
        body = {name: value for name, value in wanted.items() if value is not None}
        answer = self._post("claims", body, headers, several=bool(intent.groups))
        told = self._told(answer)
        claimed = Claimed(**told, key=intent.key, limit=intent.limit, clock=self.clock(), groups=intent.groups)
        if answer.status == 200:
            document = answer.document
            gifts = tuple(self._given(one) for one in document["messages"])
            group = document.get("group", self.plan.name)
            claimed = attrs.evolve(claimed, group=group, given=gifts, blocked="blocked" in document)
        words = {one["receipt"]: one["outcome"] for one in answer.document.get("outcomes", ())} if answer.status else {}
        settled = tuple(
            Settled(
                **{**told, "group": group},
                asked=tuple(attrs.evolve(one, outcome=words.get(one.receipt)) for one in asked),
            )
            for group, asked in intent.settle
        )
        return Told(claimed, settled=settled), answer

    def _given(self, one: Mapping[str, Any]) -> Given:
        message = stored(self.log.name, one, one["body"])
        until = datetime.fromisoformat(one["lease_until"]).timestamp() if "lease_until" in one else 0.0
        return seen(message, one.get("receipt"), one["deliveries"], one.get("lease", 0), until)

    def _settle(self, intent: ToSettle) -> tuple[Told, Answer]:
        answer = self._post("settlements", _settle(intent.asked), {})
        settled = Settled(**self._told(answer), asked=intent.asked)
        if answer.status == 200 or code_of(answer) == "stale-receipts":
            words = {one["receipt"]: one["outcome"] for one in answer.document["outcomes"]}
            asked_of = tuple(attrs.evolve(asked, outcome=words[asked.receipt]) for asked in intent.asked)
            settled = attrs.evolve(settled, outcome=Outcome.OK, asked=asked_of)
        return Told(settled), answer

    def _seek(self, intent: ToSeek) -> tuple[Told, Answer]:
        to = intent.to or f"{self.clock() - intent.ago:.3f}"
        answer = self._post("seek", {"to": to}, {})
        return Told(Sought(**self._told(answer), to=to)), answer

    def _redrive(self, intent: ToRedrive) -> tuple[Told, Answer]:
        body: dict[str, Any] = {"all": True} if intent.ago is None else {"since": f"{self.clock() - intent.ago:.3f}"}
        if intent.after is not None:
            body["after"] = intent.after
        answer = self._post("redrive", body, {})
        redriven = Redriven(**self._told(answer))
        if answer.status != 200:
            return Told(redriven), answer
        return Told(attrs.evolve(redriven, moved=answer.document["moved"]), answer.document["next"]), answer

    def _post(self, what: str, body: Mapping[str, Any], headers: Mapping[str, str], *, several: bool = False) -> Answer:
        where = claims_of_several(self.log) if several else f"{path_of(self.log, self.plan.name)}/{what}"
        return self.client.ask("POST", where, json.dumps(body).encode(), {**JSON, **headers})

    def _told(self, answer: Answer) -> dict[str, Any]:
        """What is noted of every request."""
        return {
            "client": self.who,
            "process": answer.process,
            "group": self.plan.name,
            "invoked": self.invoked,
            "ended": time.monotonic(),
            "outcome": outcome_of(answer),
        }


def _settle(some: Sequence[Asked]) -> dict[str, list[Any]]:
    """What a body says of some receipts."""
    body: dict[str, list[Any]] = defaultdict(list)
    for asked in some:
        body[asked.action].append(_item(asked))
    return body


def _item(asked: Asked) -> object:
    """What a body says of one receipt."""
    if asked.action == "retry":
        return {"receipt": asked.receipt, "delay": asked.span}
    if asked.action == "extend":
        return {"receipt": asked.receipt, "lease": asked.span}
    if asked.action == "reject":
        return {"receipt": asked.receipt, "reason": "for a test"}
    return asked.receipt


def code_of(answer: Answer) -> str:
    """The code of a problem, or nothing."""
    return str(answer.document.get("code", "")) if answer.status >= 400 else ""


def outcome_of(answer: Answer) -> Outcome:
    """What is known of a request."""
    if 200 <= answer.status < 300:
        return Outcome.OK
    applied = answer.document.get("applied", "unknown") if answer.status else "unknown"
    return Outcome.FAILED if applied == "no" else Outcome.UNKNOWN


class Crewman(Worker):
    """A mind and its thread."""

    def __init__(self, mind: Mind, client: Client, log: Log, history: GroupHistory, clock: ServerClock) -> None:
        super().__init__(client, history, 0.0)
        self._mind = mind
        self._log = log
        self._history = history
        self._clock = clock

    def _over(self) -> bool:
        return self._mind.over or super()._over()

    def _step(self) -> None:
        intent, plan = self._mind.next(time.monotonic()), self._mind.plan
        if isinstance(intent, Rest):
            self._stopped.wait(intent.seconds)
            return
        assert plan is not None
        asking = _Asking(self._mind.name, plan, self._log, self._clock, self._client, time.monotonic())
        told, answer = asking.do(intent)
        self._history.add(told.operation, *told.settled)
        self._mind.heard(intent, told)
        if told.operation.outcome is not Outcome.OK:
            if answer.status and code_of(answer) not in AGAIN:
                self._history.wrong(f"{self._mind.name}: {answer.status} {answer.documents} to {intent}")
            rest(answer, self._history)


def crew(
    minds: Sequence[Mind], targets: Sequence[Target], log: Log, history: GroupHistory, clock: ServerClock, seed: int
) -> list[Worker]:
    """One for each mind, who go to any of the places."""
    return [
        Crewman(mind, Client(targets, history, Random(f"{mind.name}'s ways of {seed}")), log, history, clock)
        for mind in minds
    ]


def ask_until(client: Client, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """What is answered 2xx at last.

    :raise AssertionError: where that does not happen in time, or it is refused.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        text = None if body is None else json.dumps(body).encode()
        answer = client.ask(method, path, text, {} if body is None else JSON)
        if 200 <= answer.status < 300:
            return answer.document
        assert answer.status in (0, 429, 503, 507), f"{method} {path}: {answer.status} {answer.documents}"
        assert time.monotonic() < deadline, f"{method} {path} is not answered: {answer.status} {answer.documents}"
        time.sleep(0.2)


def set_up(client: Client, log: Log, plans: Sequence[Plan], consistency: str = "strong") -> None:
    """Make the queue, that of dead letters, and the groups."""
    queue = log.path.removesuffix("/messages")
    ask_until(client, "PUT", queue, {"partitions": log.partitions, "consistency": consistency})
    ask_until(client, "PUT", attrs.evolve(log, name=DEAD).path.removesuffix("/messages"), {"consistency": consistency})
    for plan in plans:
        settings = plan.settings
        body = {
            "lease": settings.lease,
            "max_deliveries": settings.max_deliveries,
            "dead_letter": settings.dead_letter,
            "order": settings.order.value,
            "guarantee": settings.guarantee and settings.guarantee.value,
        }
        given = {name: value for name, value in body.items() if value is not None}
        ask_until(client, "PUT", path_of(log, plan.name), given)


def dead_letters(client: Client) -> list[Letter]:
    """All that is in the queue of dead letters."""
    path, found = Log(DEAD).path, []
    query = "limit=1000"
    while True:
        page = ask_until(client, "GET", f"{path}?{query}")
        found += [letter_of(message["headers"], message["body"]) for message in page["messages"]]
        if not page["more"] and not page["messages"]:
            return found
        query = f"limit=1000&after={page['next']}"


def set_aside(client: Client, log: Log, plans: Sequence[Plan]) -> dict[str, int]:
    """How many messages each group has set aside."""
    return {
        plan.name: sum(one["set_aside"] for one in ask_until(client, "GET", path_of(log, plan.name))["lag"])
        for plan in plans
    }
