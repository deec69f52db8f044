"""Claims of several groups over v2: a worker takes messages of the first group that has some."""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import Any, Final

import attrs

from queuey.core.groups.exchange import GroupExchange
from queuey.core.groups.group_changes import GroupChanges
from queuey.core.groups.many_claims import MAX_SOURCES, ClaimSource, Served, SourceFailed
from queuey.core.groups.values import Claiming, Settling
from queuey.core.messages import MessageExchange
from queuey.errors import Forbidden, NeedsCredentials, NoSuchGroup, NoSuchQueue, QueueyError
from queuey.http.admission.gate import AdmittedToChoice, permit
from queuey.http.answers.encoding import encoded
from queuey.http.answers.pieces import MAX_AT_ONCE, answer_in_pieces
from queuey.http.answers.problems import Problem
from queuey.http.requests.traced import UNTRACED
from queuey.http.routes import Route
from queuey.http.v2.application import APPLICATION
from queuey.http.v2.groups.claims import BEGIN, BLOCKED, SettledFirst, deliveries_json, pieces, settle_of
from queuey.http.v2.groups.groups import guarantee_of, named
from queuey.http.v2.groups.settlements import MAX_RECEIPTS, outcomes_json
from queuey.http.v2.inputs import repeats
from queuey.http.v2.inputs.header_fields import bad_field
from queuey.http.v2.inputs.parameters import Members, members, refuse_query
from queuey.http.v2.representations.fields import HEAD
from queuey.http.wire import Request
from queuey.model import fields
from queuey.model.applications.access import Operation, is_application
from queuey.model.groups.settings import Group, GroupSettings, group_name_problem
from queuey.model.messages.columns import sizes
from queuey.model.queues.choice import QueueChoice, choice_of
from queuey.model.queues.queue import Guarantee, Queue, name_problem
from queuey.model.telemetry.served import RECEIVE

CLAIMS_OF_MANY: Final = f"{APPLICATION}/claims"

_NAMES: Final = ("from", "order", "limit", "lease", "wait", "max_bytes", "json")
_SOURCE: Final = ("queue", "group", "settle")

_CODES: Final = (
    (NoSuchQueue, "no-such-queue"),
    (NeedsCredentials, "unauthorized"),
    (Forbidden, "forbidden"),
    (NoSuchGroup, "no-such-group"),
)
"""Errors that are about one group of a claim, and their codes; of several, the first one here is answered."""


class Precedence(Enum):
    """Which group of a claim goes first."""

    STRICT = "strict"
    FAIR = "fair"


@attrs.frozen
class ManyClaimWanted:
    """The body of a claim of several groups.

    :ivar names: of the queue and of the group of each source.
    :ivar settlings: the settlements of each source; ``None`` if it does not contain that member.
    :ivar parsed: whether bodies that are JSON are shown as JSON.
    """

    names: tuple[tuple[str, str], ...]
    settlings: tuple[tuple[Settling, ...] | None, ...]
    strict: bool
    claiming: Claiming
    parsed: bool

    @property
    def all_settlings(self) -> tuple[Settling, ...]:
        """The settlements of all sources, in their order."""
        return tuple([one for some in self.settlings for one in some or ()])


@attrs.frozen
class V2ManyClaims:
    """The handler of claims of several groups."""

    groups: GroupExchange
    exchange: MessageExchange

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (Route("POST", CLAIMS_OF_MANY, Operation.CLAIM_MESSAGES, self.claim, refuse_query, choice),)

    async def claim(self, request: Request, admitted: AdmittedToChoice) -> None:
        """Claim messages. With the application's key, groups that do not exist are created."""
        key = repeats.key(request)
        asked = wanted(request)
        queues = await self._queues(admitted, asked)
        if not admitted.own:
            admitted.gate.count(request, admitted.policy)
        groups = await self._groups(admitted, asked, queues, keyed=key is not None)
        if key is not None:
            claiming = attrs.evolve(asked.claiming, key=repeats.claim_key(request, admitted.caller, key))
            asked = attrs.evolve(asked, claiming=claiming)
        if request.traced is not UNTRACED:
            request.traced.begin(RECEIVE)
        settled = SettledFirst(request, asked.all_settlings)
        sources = [
            ClaimSource(queue, group, None, settlings or ())
            for queue, group, settlings in zip(queues, groups, asked.settlings, strict=True)
        ]
        try:
            served = await self._claimed(request, admitted, asked, sources, settled)
        except SourceFailed as failed:
            raise await self._why(asked, queues, failed.at, settled.of(failed.error)) from None
        except QueueyError as error:
            raise settled.of(error) from None
        await _answer(request, asked, served)

    async def _claimed(
        self,
        request: Request,
        admitted: AdmittedToChoice,
        asked: ManyClaimWanted,
        sources: list[ClaimSource],
        settled: SettledFirst,
    ) -> Served:
        claim = self.groups.claims_of_many.claim
        if not asked.claiming.wait:
            return await claim(sources, asked.claiming, strict=asked.strict, settled=settled.note)

        async def check(queue: Queue) -> None:
            caller = await admitted.prove_again(request)
            now = await self.exchange.as_it_is(queue)
            permit(Operation.CLAIM_MESSAGES, caller, admitted.policy.application, now)

        sources = [attrs.evolve(source, may=partial(check, source.queue)) for source in sources]
        with admitted.gate.ongoing.during(request, admitted, Operation.CLAIM_MESSAGES, settled.end):
            served = await claim(sources, asked.claiming, strict=asked.strict, settled=settled.note)
            if served[0] is None:
                for at, source in enumerate(sources):
                    try:
                        await check(source.queue)
                    except QueueyError as error:
                        raise SourceFailed(at, error) from None
        return served

    async def _queues(self, admitted: AdmittedToChoice, asked: ManyClaimWanted) -> list[Queue]:
        """Return the queue of each source.

        :raise Problem: naming the queues that do not exist, or else those whose messages the caller may not claim.
        """
        application, found, problems = admitted.policy.application, list[Queue](), dict[int, QueueyError]()
        for at, (name, _) in enumerate(asked.names):
            try:
                queue = await admitted.gate.directory.find(application, name)
                permit(Operation.CLAIM_MESSAGES, admitted.caller, application, queue)
                found.append(queue)
            except (NoSuchQueue, Forbidden, NeedsCredentials) as error:
                problems[at] = error
        _refuse(asked, problems)
        return found

    async def _groups(
        self, admitted: AdmittedToChoice, asked: ManyClaimWanted, queues: list[Queue], *, keyed: bool
    ) -> list[Group]:
        """Return the group of each source.

        :param keyed: whether the claim has an Idempotency-Key.
        :raise Problem: naming the groups that do not exist, or that take no key.
        """
        found, problems = dict[int, Group](), dict[int, QueueyError]()
        for at, ((_, name), queue) in enumerate(zip(asked.names, queues, strict=True)):
            try:
                found[at] = await named(self.groups, queue, name)
            except NoSuchGroup as error:
                if not is_application(admitted.caller, queue.application):
                    problems[at] = error
        _refuse(asked, problems)
        for at, queue in enumerate(queues if keyed else ()):
            settings = found[at].settings if at in found else GroupSettings()
            if guarantee_of(settings, queue, admitted.policy) is Guarantee.AT_MOST_ONCE:
                what = f"is not taken by {'/'.join(asked.names[at])}, which is given each message at most once"
                raise bad_field("Idempotency-Key", what)
        for at, ((_, name), queue) in enumerate(zip(asked.names, queues, strict=True)):
            if at not in found:
                found[at], _ = await self.groups.put(queue, name, GroupChanges(), lambda _: None)
        return [found[at] for at in range(len(queues))]

    async def _why(self, asked: ManyClaimWanted, queues: list[Queue], at: int, error: QueueyError) -> Exception:
        """Return the error of a claim of which one group has failed."""
        if isinstance(error, NoSuchGroup):
            try:
                await self.exchange.as_it_is(queues[at])  # if the queue was deleted, that is why
            except QueueyError as other:
                error = other.after(error.applied)
        try:
            _refuse(asked, {at: error})
        except Problem as problem:
            return problem
        return error


def _refuse(asked: ManyClaimWanted, problems: dict[int, QueueyError]) -> None:
    """Refuse a claim because of some of its groups.

    :raise Problem: naming those with the most general error.
    """
    for kind, code in _CODES:
        of_kind = {at: error for at, error in problems.items() if isinstance(error, kind)}
        if of_kind:
            member = "group" if kind is NoSuchGroup else "queue"
            found = tuple(
                [
                    {"pointer": f"/from/{at}/{member}", "detail": f"{'/'.join(asked.names[at])}: {error.text}"}
                    for at, error in of_kind.items()
                ]
            )
            applied = next(error.applied for error in of_kind.values())
            raise Problem(code, found[0]["detail"], applied=applied, errors=found)


def choice(request: Request, application: str) -> QueueChoice:
    """Return the queues that a claim names.

    :raise Problem: lists every error in the body.
    """
    return choice_of(application, tuple([queue for queue, _ in wanted(request).names]), ())


def wanted(request: Request) -> ManyClaimWanted:
    """Parse the body of a claim.

    :raise Problem: lists every error.
    """
    asked = Members(members(request, _NAMES))
    names, settlings = _sources(asked)
    precedence = asked.choice("order", Precedence) or Precedence.STRICT
    limit = asked.number(fields.CLAIM_LIMIT)
    claiming = Claiming(
        fields.CLAIM_LIMIT.default if limit is None else limit,
        asked.number(fields.LEASE),
        asked.seconds(fields.WAIT) or 0.0,
        asked.number(fields.MAX_BYTES) or fields.MAX_BYTES.default,
    )
    parsed = asked.boolean("json")
    asked.check()
    return ManyClaimWanted(names, settlings, precedence is Precedence.STRICT, claiming, parsed)


def _sources(asked: Members) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[Settling, ...] | None, ...]]:
    """Return the names of the queue and of the group of each source, and the settlements of each."""
    given = asked.value("from")
    if not isinstance(given, list) or not given:
        asked.wrong("from", "is not a list with at least one queue and group")
        return (), ()
    if len(given) > MAX_SOURCES:
        asked.wrong("from", f"has {len(given)} groups; at most {MAX_SOURCES} are allowed")
        return (), ()
    found, settlings, receipts = list[tuple[str, str]](), list[tuple[Settling, ...] | None](), set[str]()
    for at, each in enumerate(given):
        if not isinstance(each, dict):
            asked.wrong(f"from/{at}", "is not an object with queue and group")
            continue
        inner = asked.within(f"from/{at}", each)
        inner.only(_SOURCE)
        names = (_name(inner, "queue", name_problem), _name(inner, "group", group_name_problem))
        if names in found and all(names):
            inner.wrong("", "is given twice")
        found.append(names)
        settlings.append(settle_of(inner, receipts))
    if sum([len(some or ()) for some in settlings]) > MAX_RECEIPTS:
        asked.wrong("from", f"has more than {MAX_RECEIPTS} receipts")
    return tuple(found), tuple(settlings)


def _name(asked: Members, member: str, problem_of: Any) -> str:
    name = asked.text(member)
    if name is None:
        if asked.value(member) is None:
            asked.wrong(member, "is missing")
        return ""
    problem = problem_of(name)
    if problem is not None:
        asked.wrong(member, problem)
    return name


async def _answer(request: Request, asked: ManyClaimWanted, served: Served) -> None:
    at, delivered = served
    queues = None if at is None else [asked.names[at][0]] * len(delivered.deliveries)
    messages = [delivery.message for delivery in delivered.deliveries]
    if request.traced is not UNTRACED:
        request.traced.received(messages)
    end = _end(asked, served)
    bodies, contents = sizes(messages)
    if contents <= MAX_AT_ONCE:
        text = f"{BEGIN}{deliveries_json(messages, delivered.deliveries, parsed=asked.parsed)}{end}"
        request.answer(200, HEAD, text.encode("ascii"))
        request.count_messages(len(messages), bodies, queues)
    else:
        parts = pieces(delivered.deliveries, messages, end, parsed=asked.parsed)
        await answer_in_pieces(request, HEAD, parts, queues)


def _end(asked: ManyClaimWanted, served: Served) -> str:
    """Return the end of an answer, after the messages: the names of the queue and of the group that gave them, and the
    outcomes of the settlements."""
    at, delivered = served
    parts = ["]"]
    if at is not None:
        queue, group = [encoded(name).decode("ascii").strip() for name in asked.names[at]]
        parts.append(f',"queue":{queue},"group":{group}')
    elif delivered.blocked:
        parts.append(f',"blocked":"{BLOCKED}"')
    if any(some is not None for some in asked.settlings):
        parts.append(f',"outcomes":{outcomes_json(asked.all_settlings, delivered.outcomes)}')
    return "".join([*parts, "}\n"])
