"""JSON members of an application: those of its policy, and its limits.

An ini file has them as settings, the store as these JSON members. A new field of
:class:`~queuey.model.applications.policy.Policy` needs one line in :data:`MEMBERS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final

import attrs

from queuey.model import fields
from queuey.model.applications import origins
from queuey.model.applications.aws_accounts import ALLOWED_ACCOUNT, account_is_good
from queuey.model.applications.policy import Policy, SqsPolicies
from queuey.model.fields import Number
from queuey.model.pushes.targets import MAX_HOSTS, host_problem
from queuey.model.queues.queue import Consistency, Guarantee

MAX_ORIGINS: Final = 20
"""Origins that one application may have in the store."""

MAX_IDENTITIES: Final = 20
"""Maximum number of identity providers of an application in the store."""

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,50}")
_MAX_ORIGIN: Final = 300
_ON_WRITE: Final = "on-write"

Members = Mapping[str, Any]
"""JSON values by member name; a missing member has its default."""


@attrs.frozen
class Member:
    """The declaration of one member.

    :ivar name: the name of the setting.
    :ivar field: the name of the attribute of ``Policy``.
    :ivar limit: whether the member belongs to the limits, and not to the policy.
    :ivar type: the JSON type of the value.
    :ivar allowed: the allowed values, for error messages and documentation.
    :ivar read: converts JSON to the value of the attribute; raises ``ValueError`` with the reason of a refusal.
    :ivar show: converts the value of the attribute to JSON.
    """

    name: str
    field: str
    limit: bool
    type: str
    allowed: str
    read: Callable[[Any], Any] = attrs.field(repr=False, eq=False)
    show: Callable[[Any], Any] = attrs.field(repr=False, eq=False)


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
        raise ValueError("is not an array of strings")
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


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is not a boolean")
    return value


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and _NAME.fullmatch(one) for one in value):
        raise ValueError("is not an array of names")
    if len(value) > MAX_IDENTITIES or len(set(value)) < len(value):
        raise ValueError("is too long, or has one twice")
    return tuple(value)


def _hosts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and host_problem(one) is None for one in value):
        raise ValueError("is not an array of hosts")
    if len(value) > MAX_HOSTS or len(set(value)) < len(value):
        raise ValueError("is too long, or has one twice")
    return tuple(value)


def _account(value: Any) -> str:
    if not isinstance(value, str) or not account_is_good(value):
        raise ValueError("is not an account")
    return value


def _number(field: Number, limit: bool) -> Member:
    """Return the member for a number."""
    return Member(field.name, field.name, limit, "number", field.allowed, field.of_json, _as_it_is)


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
    _number(fields.TTL, False),
    _number(fields.IDEMPOTENCY_TTL, False),
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
    Member("push", "push", False, "boolean", "true, false", _boolean, _as_it_is),
    Member("push_hosts", "push_hosts", False, "array", f"at most {MAX_HOSTS} names and addresses, or *", _hosts, list),
    Member("sqs", "sqs", False, "boolean", "true, false", _boolean, _as_it_is),
    Member("sqs_account", "sqs_account", False, "string", ALLOWED_ACCOUNT, _account, _as_it_is),
    Member("sqs_policies", "sqs_policies", False, "string", _words(SqsPolicies), _word(SqsPolicies), _value),
    *(_number(field, True) for field in fields.LIMITS),
    attrs.evolve(_number(fields.MAX_BODY, True), allowed="1 byte to the max_body of [server]"),
)
"""Every member."""

BURSTS: Final = tuple((rate.name, burst.name) for rate, burst in fields.BURSTS)
"""Each rate and its burst, which has no effect without the rate."""

_BY_NAME: Final = {member.name: member for member in MEMBERS}


def problems(given: Members) -> dict[str, str]:
    """Return the problems of given values, by name; ``None`` stands for a default and is always valid."""
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
    """Return the members after a change; a member that is given as ``None`` gets its default."""
    return {name: value for name, value in {**members, **given}.items() if value is not None}


def policy(application: str, members: Members, max_body: int) -> Policy:
    """Make the policy with these members.

    :param members: unknown ones are ignored, since a newer version may have written them.
    :param max_body: the server's limit, which caps the application's.
    :raise ValueError: a member is invalid.
    """
    said = {_BY_NAME[name].field: _BY_NAME[name].read(value) for name, value in members.items() if name in _BY_NAME}
    said["max_body"] = min(said.get("max_body", max_body), max_body)
    return Policy(application, **said)


def shown(policy: Policy, limits: bool) -> dict[str, Any]:
    """Return a policy as JSON members; ``None`` means no limit.

    :param limits: whether to return the limits, or the other members.
    """
    return {member.name: _shown(member, policy) for member in MEMBERS if member.limit is limits}


def _shown(member: Member, policy: Policy) -> Any:
    value = getattr(policy, member.field)
    return None if value is None else member.show(value)


def named(limits: bool | None = None) -> Iterable[Member]:
    """Return the members that are limits, or those that are not; all of them for ``None``."""
    return [member for member in MEMBERS if limits is None or member.limit is limits]
