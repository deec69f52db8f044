"""Applications, their keys, policies and limits: ``applications.*``, ``keys.*``, ``policies.*`` and ``limits.*``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from queuey.core.applications.registry import Registry
from queuey.model.applications import members
from queuey.model.applications.application import ALLOWED_NAME
from queuey.model.applications.aws_keys import aws_key
from queuey.model.applications.members import Member
from queuey.model.fields import LIMIT, Whole
from queuey.ops.methods import shown
from queuey.ops.parameters import BOOLEAN, DIGEST, KEY_ID, TEXT, Kind, Parameter, number
from queuey.ops.rpc import CallContext, Methods, method

NAME: Final = Kind("string", ALLOWED_NAME, TEXT.read)
APPLICATION: Final = Parameter("application", NAME, needed=True)
_OWN_NAME: Final = Parameter("name", NAME, needed=True)
_REVISION: Final = Parameter("revision", number(Whole("revision", 0, 1 << 53)))


def _members(limits: bool | None) -> Sequence[Parameter]:
    return [_member(member) for member in members.named(limits)]


def _member(member: Member) -> Parameter:
    """Return a member as a parameter. A list may also be one text, as in settings; it is kept as an array."""

    def read(value: Any) -> Any:
        if member.type == "array" and isinstance(value, str):
            value = value.replace(",", " ").split()
        return member.show(member.read(value))

    return Parameter(member.name, Kind(member.type, f"{member.allowed}; null for the default", read), null=True)


class Applications(Methods):
    """``applications.*``."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self._registry = registry

    @method("object", Parameter("prefix", TEXT), Parameter("after", TEXT), Parameter("limit", number(LIMIT)))
    async def jsonrpc_list(
        self, call: CallContext, prefix: str = "", after: str = "", limit: int = LIMIT.high
    ) -> dict[str, Any]:
        """List the applications of the settings and of the store, by name; to continue, pass `next` as `after`."""
        names = [name for name in await self._registry.names() if name > after and name.startswith(prefix)]
        found = [await self._registry.find(name) for name in names[:limit]]
        listed = [{**shown.application(one), "keys": len(one.keys)} for one in found]
        brief = ("name", "source", "keys", "made", "changed", "revision")
        return {
            "applications": [{name: one[name] for name in brief} for one in listed],
            "next": names[limit - 1] if len(names) > limit else None,
        }

    @method("object", _OWN_NAME)
    async def jsonrpc_get(self, call: CallContext, name: str) -> dict[str, Any]:
        """Return an application: its policy, its limits, and the ids of its keys."""
        return shown.application(await self._registry.find(name))

    @method("object", _OWN_NAME, _REVISION, *_members(None), changes=True)
    async def jsonrpc_set(
        self, call: CallContext, name: str, revision: int | None = None, **said: Any
    ) -> dict[str, Any]:
        """Create an application in the store, or change it; members that are left out stay. With `revision`, only if it
        has that revision; 0 means that it must not exist."""
        change = await self._registry.set(name, said, revision, make=True)
        call.note(*shown.sides(change))
        return shown.after(self._registry, change)

    @method("boolean", _OWN_NAME, _REVISION, Parameter("keep_queues", BOOLEAN), changes=True)
    async def jsonrpc_remove(
        self, call: CallContext, name: str, revision: int | None = None, keep_queues: bool = False
    ) -> bool:
        """Remove an application of the store with its keys. If it has queues, the call is refused unless `keep_queues`
        is true; a new application of that name gets them then."""
        change = await self._registry.remove(name, revision, keep_queues)
        call.note(*shown.sides(change))
        return True


class Keys(Methods):
    """``keys.*``."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self._registry = registry

    @method("array", APPLICATION)
    async def jsonrpc_list(self, call: CallContext, application: str) -> list[dict[str, Any]]:
        """List the keys of an application: their ids, when each was made, and as `used_here` the minute in which this
        process (since its start) or one of its workers (up to five seconds ago) last saw it used."""
        return shown.keys(await self._registry.find(application))

    @method("object", APPLICATION, Parameter("digest", DIGEST), changes=True, hidden=("digest",))
    async def jsonrpc_add(self, call: CallContext, application: str, digest: bytes | None = None) -> dict[str, Any]:
        """Add a key to an application. Without a `digest`, a key is made; only this answer shows it, and the
        credentials that clients of Amazon SQS have with it."""
        change, key, text = await self._registry.add_key(application, digest)
        call.note(*shown.sides(change))
        found = {"id": key.id, "made": shown.moment(key.made)}
        if text is None:
            return found
        pair = aws_key(key.digest)
        return {**found, "key": text, "aws_access_key_id": pair.id, "aws_secret_access_key": pair.secret}

    @method("boolean", APPLICATION, Parameter("id", KEY_ID, needed=True), changes=True)
    async def jsonrpc_revoke(self, call: CallContext, application: str, id: str) -> bool:
        """Revoke a key: on this front end at once, on others within `max_age`."""
        change = await self._registry.revoke_key(application, id)
        call.note(*shown.sides(change))
        return True


class _Said(Methods):
    """Methods for a part of the members of an application.

    :cvar limits: whether that part is the limits.
    """

    limits: bool

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self._registry = registry

    async def _get(self, application: str) -> dict[str, Any]:
        return members.shown((await self._registry.find(application)).policy, self.limits)

    async def _set(
        self, call: CallContext, application: str, revision: int | None, said: dict[str, Any]
    ) -> dict[str, Any]:
        change = await self._registry.set(application, said, revision, make=False)
        call.note(*shown.sides(change))
        assert change.after is not None
        return members.shown(self._registry.shown(change.after).policy, self.limits)


class Policies(_Said):
    """``policies.*``."""

    limits = False

    @method("object", APPLICATION)
    async def jsonrpc_get(self, call: CallContext, application: str) -> dict[str, Any]:
        """Return the policy of an application."""
        return await self._get(application)

    @method("object", APPLICATION, _REVISION, *_members(False), changes=True)
    async def jsonrpc_set(
        self, call: CallContext, application: str, revision: int | None = None, **said: Any
    ) -> dict[str, Any]:
        """Change the policy of an application of the store; members that are left out stay."""
        return await self._set(call, application, revision, said)


class LimitsMethods(_Said):
    """``limits.*``."""

    limits = True

    @method("object", APPLICATION)
    async def jsonrpc_get(self, call: CallContext, application: str) -> dict[str, Any]:
        """Return the limits of an application; null means no limit."""
        return await self._get(application)

    @method("object", APPLICATION, _REVISION, *_members(True), changes=True)
    async def jsonrpc_set(
        self, call: CallContext, application: str, revision: int | None = None, **said: Any
    ) -> dict[str, Any]:
        """Change the limits of an application of the store; members that are left out stay."""
        return await self._set(call, application, revision, said)
