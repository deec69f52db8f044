"""Settlements over v2: a worker acks, retries, extends or rejects the messages whose receipts it has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any, Final
from urllib.parse import quote

import attrs

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.values import Settling
from queuey.http.admission.gate import AdmittedToQueue
from queuey.http.answers.problems import Problem
from queuey.http.requests.traced import UNTRACED
from queuey.http.routes import Route
from queuey.http.v2.groups.groups import GROUP, named
from queuey.http.v2.inputs.parameters import Members, members, refuse_query
from queuey.http.v2.representations.fields import HEAD
from queuey.http.wire import Request
from queuey.model.applications.access import Operation
from queuey.model.fields import DELAY, LEASE
from queuey.model.groups.entries import MAX_REASON
from queuey.model.groups.receipts import RECEIPT
from queuey.model.groups.terms import Action, Outcome, applied_by
from queuey.model.telemetry.served import SETTLE

SETTLEMENTS: Final = f"{GROUP}/settlements"

MAX_RECEIPTS: Final = 1000
"""Maximum number of receipts in one request."""

_ACTIONS: Final = {action.value: action for action in Action}
ACTIONS: Final = tuple(_ACTIONS)
_WORDS: Final = {outcome: outcome.value for outcome in Outcome}
_OPTIONS: Final = {Action.RETRY: "delay", Action.EXTEND: "lease", Action.REJECT: "reason"}
"""The member that an action allows beside the receipt."""

_SAFE: Final = "!#$&'()*+,/:;=?@[] "
"""Characters that are not percent-encoded in a text that is cut."""

_FAILED: Final = frozenset({Outcome.STALE, Outcome.INVALID})


@attrs.frozen
class V2Settlements:
    """The handler of settlements."""

    groups: GroupExchange

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (Route("POST", SETTLEMENTS, Operation.SETTLE_MESSAGES, self.settle, check=refuse_query),)

    async def settle(self, request: Request, admitted: AdmittedToQueue, group: str) -> None:
        """Ack, retry, extend and reject messages."""
        queue = admitted.queue
        found = self.groups.cached(queue, group) or await named(self.groups, queue, group)
        given = members(request, ACTIONS)
        wanted = Members(given)
        asked = settlings(wanted, given, set())
        wanted.check()
        if request.traced is not UNTRACED:
            request.traced.begin(SETTLE, group)
        outcomes = await self.groups.settle(queue, found, asked) if asked else ()
        if request.traced is not UNTRACED:
            request.traced.settled(len(asked))
        answer = outcomes_json(asked, outcomes)
        if not _FAILED.isdisjoint(outcomes):
            failed = sum([outcome in _FAILED for outcome in outcomes])
            text = f"Of {len(outcomes)} receipts {failed} changed nothing: outcomes says which, and why."
            applied = applied_by(outcomes)
            raise Problem("stale-receipts", text, applied=applied, members={"outcomes": json.loads(answer)})
        request.answer(200, HEAD, f'{{"outcomes":{answer}}}\n'.encode("ascii"))


def outcomes_json(asked: Sequence[Settling], outcomes: Sequence[Outcome]) -> str:
    """Return the outcome of each receipt as JSON, in the order of the request.

    If the JSON of all receipts together is longer than that of valid receipts, texts that cannot be receipts are cut.
    """
    texts = [encode_basestring_ascii(one.receipt) for one in asked]
    if sum(map(len, texts)) > MAX_RECEIPTS * (RECEIPT + 2):
        texts = [encode_basestring_ascii(_cut(one.receipt)) for one in asked]
    found = []
    for text, outcome in zip(texts, outcomes, strict=True):
        found.append(f'{{"receipt":{text},"outcome":"{_WORDS[outcome]}"}}')
    return f"[{','.join(found)}]"


def _may_be_receipt(text: str) -> bool:
    return len(text) == RECEIPT and text.isascii() and "\\" not in text and '"' not in text and text.isprintable()


def _cut(receipt: str) -> str:
    """Return a receipt as it is, and any other text cut so that its JSON is no longer than a receipt's."""
    if _may_be_receipt(receipt):
        return receipt
    return quote(receipt[:RECEIPT].encode("utf-8", "replace"), safe=_SAFE)[: RECEIPT - 3] + "..."


def settlings(asked: Members, given: Mapping[str, Any], seen: set[str]) -> tuple[Settling, ...]:
    """Parse the settlements of an object, in their order.

    :param asked: collects the errors; the caller checks it.
    :param given: lists of receipts by action.
    :param seen: the receipts that the request has had before; those of this object are added.
    """
    found = list[Settling]()
    count = 0
    for listed in given.values():
        if type(listed) is list:
            count += len(listed)
    if count > MAX_RECEIPTS:
        asked.wrong("", f"has more than {MAX_RECEIPTS} receipts")
        return ()
    for name, listed in given.items():
        if name not in _ACTIONS:
            continue
        action = _ACTIONS[name]
        if type(listed) is not list:
            asked.wrong(name, "is not a list of receipts")
            continue
        for at, item in enumerate(listed):
            one = Settling(action, item) if type(item) is str else _settling(action, item, f"{name}/{at}", asked)
            if one.receipt in seen:
                asked.wrong(f"{name}/{at}", "is a receipt that the request has already")
            if one.receipt:
                seen.add(one.receipt)
            found.append(one)
    return tuple(found)


def _settling(action: Action, item: Any, place: str, asked: Members) -> Settling:
    """Parse a settlement that is not just a receipt.

    :param place: its JSON pointer in the body.
    :param asked: collects the errors.
    """
    if not isinstance(item, dict):
        asked.wrong(place, "is neither a receipt nor an object with a receipt")
        return Settling(action, "")
    option = _OPTIONS.get(action)
    inner = asked.within(place, item)
    inner.only(("receipt",) if option is None else ("receipt", option))
    receipt = inner.text("receipt")
    if item.get("receipt") is None:
        inner.wrong("receipt", "is missing")
    span = inner.seconds(DELAY) if action is Action.RETRY else None
    if action is Action.EXTEND:
        span = inner.number(LEASE)
    return Settling(action, receipt or "", span, _reason(inner) if action is Action.REJECT else "")


def _reason(asked: Members) -> str:
    reason = asked.text("reason") or ""
    size = len(reason.encode("utf-8"))
    if size > MAX_REASON:
        asked.wrong("reason", f"has {size} bytes in UTF-8; at most {MAX_REASON} are allowed")
    return reason
