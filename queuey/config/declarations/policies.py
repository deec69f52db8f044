"""The settings of an application: the section ``[application:NAME]``, from the fields of a policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import attrs

from queuey.config.declarations.declared import Key
from queuey.config.declarations.pushes import hosts
from queuey.config.kinds import values
from queuey.config.kinds.kinds import BOOLEAN, Kind, member, number, optional, parts, seconds, text
from queuey.config.mistakes import Mistake, nearest, shown
from queuey.model import fields
from queuey.model.applications.aws_accounts import ALLOWED_ACCOUNT, account_is_good
from queuey.model.applications.policy import Policy, SqsPolicies
from queuey.model.queues.queue import Consistency, Guarantee

SECTION: Final = "application:NAME"

_EXPLICIT: Final = "explicit"
_ON_WRITE: Final = "on-write"


def _create_queues(found: str, base: Path) -> bool:
    if found not in (_EXPLICIT, _ON_WRITE):
        raise Mistake(f"{shown(found)} is not known", nearest(found, (_EXPLICIT, _ON_WRITE)))
    return found == _ON_WRITE


def _account(found: str, base: Path) -> str:
    if not account_is_good(found):
        raise Mistake(f"{shown(found)} is not an account")
    return found


def _key(attribute: str, kind: Kind[Any], name: str = "") -> Key[Any]:
    """Return the setting of an attribute of a policy; its default is that of the attribute."""
    default = attrs.fields_dict(Policy)[attribute].default
    return Key(SECTION, name or attribute, kind, kind.show(default))


CREATE_QUEUES: Final = Kind(
    f"{_EXPLICIT}, {_ON_WRITE}", _create_queues, {False: _EXPLICIT, True: _ON_WRITE}.__getitem__
)
ORIGINS: Final = parts("origins as scheme://host[:port], separated by spaces, commas or lines, or *", values.origins)
IDENTITIES: Final = parts("browserid and names of [jwt:NAME], separated by spaces, commas or lines")

PUSH_HOSTS: Final = parts("names and addresses of hosts, separated by spaces, commas or lines, or *", hosts)

LIMITS: Final = {field.name: _key(field.name, optional(number(field))) for field in fields.LIMITS}
"""The limits of an application, by attribute of a policy."""

BURSTS: Final = tuple((LIMITS[rate.name], LIMITS[burst.name]) for rate, burst in fields.BURSTS)
"""Each rate with its burst, which has no effect without the rate."""

KEYS: Final = Key(SECTION, "keys", text("keys, one a line, plain or as sha256: and 64 hex digits"))
MAX_BODY: Final = Key(
    SECTION,
    "max_body",
    optional(attrs.evolve(number(fields.MAX_BODY), allowed="1 byte to the max_body of [server]")),
)

POLICY: Final = {
    "guarantee": _key("guarantee", member(Guarantee)),
    "consistency": _key("consistency", member(Consistency)),
    "create_on_write": _key("create_on_write", CREATE_QUEUES, "create_queues"),
    "ttl": _key("ttl", number(fields.TTL)),
    "idempotency_ttl": _key("idempotency_ttl", number(fields.IDEMPOTENCY_TTL)),
    "cors_origins": _key("cors_origins", ORIGINS),
    "identities": _key("identities", IDENTITIES),
    "signed_urls": _key("signed_urls", BOOLEAN),
    "push": _key("push", BOOLEAN),
    "push_hosts": _key("push_hosts", PUSH_HOSTS),
    "sqs": _key("sqs", BOOLEAN),
    "sqs_account": _key("sqs_account", optional(Kind(ALLOWED_ACCOUNT, _account))),
    "sqs_policies": _key("sqs_policies", member(SqsPolicies)),
}
"""What an application is promised and allowed, by attribute of a policy."""

APPLICATION: Final[tuple[Key[Any], ...]] = (*POLICY.values(), KEYS, *LIMITS.values(), MAX_BODY)
APPLICATION_KEYS: Final = Key("application_keys", "NAME", KEYS.kind)
MAX_AGE: Final = Key("applications", "max_age", seconds(0, 1), "1")
