"""What may be said of an application, member by member, as JSON has it: its policy, and its limits.

The settings say the same in an ini file; what an application has in the store is said in these words. A new member of
:class:`~queuey.model.policy.Policy` needs one line in :data:`MEMBERS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final

import attrs

from queuey.model import origins
from queuey.model.group_rows import MAX_GROUPS
from queuey.model.message import MAX_TTL
from queuey.model.policy import MAX_IDEMPOTENCY_TTL, MIN_IDEMPOTENCY_TTL, Policy
from queuey.model.queue import Consistency, Guarantee
from queuey.model.rates import LEAST_RATE, MAX_BURST, MAX_RATE

MAX_ORIGINS: Final = 20
"""Origins that one application may have in the store."""

MAX_IDENTITIES: Final = 20
"""Who may be believed who the users of one application in the store are."""

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,50}")
_MAX_ORIGIN: Final = 300
_ON_WRITE: Final = "on-write"

Members = Mapping[str, Any]
"""Values as JSON has them, by the names of their members; what is not there has its default."""


@attrs.frozen
class Member:
    """One of them.

    :ivar name: as in the settings.
    :ivar field: of a policy.
    :ivar limit: whether it is one of the limits, and not of the policy.
    :ivar type: of its value in JSON.
    :ivar allowed: what it may be, in words.
    :ivar read: makes the value that a policy has; raises ``ValueError`` with what is wrong.
    :ivar show: makes JSON of it.
    """

    name: str
    field: str
    limit: bool
    type: str
    allowed: str
    read: Callable[[Any], Any] = attrs.field(repr=False, eq=False)
    show: Callable[[Any], Any] = attrs.field(repr=False, eq=False)


def whole(low: int, high: int) -> Callable[[Any], int]:
    """Reads a whole number of JSON; raises ``ValueError`` with what is wrong."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("is no whole number")
        if not low <= value <= high:
            raise ValueError("is out of range")
        return value

    return read


def _word(kind: type[Enum]) -> Callable[[Any], Enum]:
    def read(value: Any) -> Enum:
        try:
            return kind(value)
        except ValueError:
            raise ValueError("is not known") from None

    return read


def _create_queues(value: Any) -> bool:
    if value not in ("explicit", _ON_WRITE):
        raise ValueError("is not known")
    return bool(value == _ON_WRITE)


def _origins(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("is no array of strings")
    if len(value) > MAX_ORIGINS or any(len(one) > _MAX_ORIGIN for one in value):
        raise ValueError("is too long")
    if len(set(value)) < len(value):
        raise ValueError("has one origin twice")
    if origins.ANY in value:
        if len(value) > 1:
            raise ValueError("has * beside others; it is all origins, and stands alone")
        return (origins.ANY,)
    for one in value:
        found = origins.problem(one)
        if found is not None:
            raise ValueError(f"has one that {found[0]}")
    return tuple(value)


def _as_it_is(value: Any) -> Any:
    return value


def _value(value: Enum) -> Any:
    return value.value


def _words(kind: type[Enum]) -> str:
    return ", ".join(str(one.value) for one in kind)


def _number(low: float, high: float) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("is no number")
        if not low <= value <= high:
            raise ValueError("is out of range")
        return float(value)

    return read


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is no boolean")
    return value


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and _NAME.fullmatch(one) for one in value):
        raise ValueError("is no array of names")
    if len(value) > MAX_IDENTITIES or len(set(value)) < len(value):
        raise ValueError("is too long, or has one twice")
    return tuple(value)


def _most(name: str, high: int, what: str = "") -> Member:
    """A limit that is a whole number."""
    return Member(name, name, True, "number", f"1 to {high}{what}", whole(1, high), _as_it_is)


def _rate(name: str) -> Member:
    """A limit that is so many a second."""
    allowed = f"{LEAST_RATE} to {MAX_RATE} a second"
    return Member(name, name, True, "number", allowed, _number(LEAST_RATE, MAX_RATE), _as_it_is)


_MOST_BYTES: Final = 1 << 50
_MOST_BODY: Final = 256 << 20
_MOST_QUEUES: Final = 1_000_000_000
_MOST_MESSAGES: Final = 1_000_000_000_000
_MOST_WAITS: Final = 1_000_000

MEMBERS: Final = (
    Member("guarantee", "guarantee", False, "string", _words(Guarantee), _word(Guarantee), _value),
    Member("consistency", "consistency", False, "string", _words(Consistency), _word(Consistency), _value),
    Member(
        "create_queues",
        "create_on_write",
        False,
        "string",
        f"explicit, {_ON_WRITE}",
        _create_queues,
        lambda value: _ON_WRITE if value else "explicit",
    ),
    Member("ttl", "ttl", False, "number", f"1 to {MAX_TTL} seconds", whole(1, MAX_TTL), _as_it_is),
    Member(
        "idempotency_ttl",
        "idempotency_ttl",
        False,
        "number",
        f"{MIN_IDEMPOTENCY_TTL} to {MAX_IDEMPOTENCY_TTL} seconds",
        whole(MIN_IDEMPOTENCY_TTL, MAX_IDEMPOTENCY_TTL),
        _as_it_is,
    ),
    Member(
        "cors_origins",
        "cors_origins",
        False,
        "array",
        f"at most {MAX_ORIGINS} origins as scheme://host[:port], or * alone",
        _origins,
        list,
    ),
    Member(
        "identities",
        "identities",
        False,
        "array",
        f"at most {MAX_IDENTITIES} names: browserid, and those of [jwt:NAME]",
        _names,
        list,
    ),
    Member("signed_urls", "signed_urls", False, "boolean", "true, false", _boolean, _as_it_is),
    _most("max_queues", _MOST_QUEUES),
    _most("max_bytes", _MOST_BYTES, " bytes"),
    _most("max_messages", _MOST_MESSAGES),
    _most("max_queue_bytes", _MOST_BYTES, " bytes"),
    _most("max_queue_messages", _MOST_MESSAGES),
    _most("max_groups", MAX_GROUPS),
    _most("max_waits", _MOST_WAITS),
    _most("max_queue_waits", _MOST_WAITS),
    _rate("request_rate"),
    _most("request_burst", MAX_BURST),
    _rate("message_rate"),
    _most("message_burst", MAX_BURST),
    _rate("queue_request_rate"),
    _most("queue_request_burst", MAX_BURST),
    _rate("queue_message_rate"),
    _most("queue_message_burst", MAX_BURST),
    Member(
        "max_body", "max_body", True, "number", "1 byte to the max_body of [server]", whole(1, _MOST_BODY), _as_it_is
    ),
)
"""Every member."""

BURSTS: Final = tuple((f"{of}_rate", f"{of}_burst") for of in ("request", "message", "queue_request", "queue_message"))
"""Each rate, and its burst, which is of no use without it."""

_BY_NAME: Final = {member.name: member for member in MEMBERS}


def problems(given: Members) -> dict[str, str]:
    """What is wrong with values that are asked for, by name; ``None`` stands for a default, and is always right."""
    found: dict[str, str] = {}
    for name, value in given.items():
        member = _BY_NAME.get(name)
        if member is None:
            found[name] = "is not known"
        elif value is not None:
            try:
                member.read(value)
            except ValueError as error:
                found[name] = f"{error}; allowed: {member.allowed}"
    return found


def changed(members: Members, given: Members) -> dict[str, Any]:
    """Members after a change; what is given as ``None`` goes to its default."""
    return {name: value for name, value in {**members, **given}.items() if value is not None}


def policy(application: str, members: Members, max_body: int) -> Policy:
    """Make the policy with these members.

    :param members: unknown ones are ignored: a newer version has written them.
    :param max_body: that of the server, which no application exceeds.
    :raise ValueError: one cannot be read.
    """
    said = {_BY_NAME[name].field: _BY_NAME[name].read(value) for name, value in members.items() if name in _BY_NAME}
    said["max_body"] = min(said.get("max_body", max_body), max_body)
    return Policy(application, **said)


def shown(policy: Policy, limits: bool) -> dict[str, Any]:
    """A policy as JSON, member by member; ``None`` is no limit.

    :param limits: whether to show the limits, or the rest.
    """
    return {member.name: _shown(member, policy) for member in MEMBERS if member.limit is limits}


def _shown(member: Member, policy: Policy) -> Any:
    value = getattr(policy, member.field)
    return None if value is None else member.show(value)


def named(limits: bool | None = None) -> Iterable[Member]:
    """Return the members that are limits, or those that are not; all of them for ``None``."""
    return [member for member in MEMBERS if limits is None or member.limit is limits]
