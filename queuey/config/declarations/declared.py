"""How settings are declared: each is one attribute of the class of its section, with all that is known of it.

The attribute names the setting, its default, what is allowed, and whether a running daemon can change it. Files are
read, settings in force are shown, changes are compared, and the documentation is checked by these declarations.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import attrs

from queuey.config.kinds.kinds import Kind

T = TypeVar("T")

RELOAD: Final = "SIGHUP"
"""A running daemon takes a change over when it is sent SIGHUP."""

RESTART: Final = "restart"
"""A change takes effect when the daemon is restarted."""

HIDDEN: Final = "(not shown)"
"""Replaces a secret where settings are shown."""

_KEY: Final = "key"


@attrs.frozen
class Key(Generic[T]):
    """One setting.

    :ivar default: the text of the default; an empty value in a file means the default.
    :ivar change: what a change of it needs.
    """

    section: str
    name: str
    kind: Kind[T]
    default: str = ""
    change: str = RELOAD

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        return self.kind.allowed

    @property
    def place(self) -> str:
        """How messages name it."""
        return f"[{self.section}] {self.name}"


def setting(
    section: str, name: str, kind: Kind[Any], default: str = "", change: str = RELOAD, *, secret: bool = False
) -> Any:
    """Declare a setting as an attribute of an attrs class.

    The attribute has the setting's default, unless that is a path, which depends on where the file is.

    :param secret: whether the representation of the section leaves it out.
    """
    value = attrs.NOTHING if default.startswith("./") else kind.read(default, Path("/"))
    return attrs.field(default=value, metadata={_KEY: Key(section, name, kind, default, change)}, repr=not secret)


def keys_of(*kinds: type) -> tuple[Key[Any], ...]:
    """Return the settings that attrs classes declare, in their order."""
    found = [attribute.metadata.get(_KEY) for kind in kinds for attribute in attrs.fields(kind)]
    return tuple(key for key in found if key is not None)


def key_of(kind: type, attribute: str) -> Key[Any]:
    """Return the setting that an attribute declares."""
    found: Key[Any] = attrs.fields_dict(kind)[attribute].metadata[_KEY]
    return found


def attributes(kind: type) -> Iterator[tuple[str, Key[Any]]]:
    """Give the attributes of a class that are settings."""
    for attribute in attrs.fields(kind):
        if _KEY in attribute.metadata:
            yield attribute.name, attribute.metadata[_KEY]


def in_force(value: Any) -> Iterator[tuple[Key[Any], Any]]:
    """Give the settings of a section and their values; for a part with settings of its own, whether it exists."""
    for attribute in attrs.fields(type(value)):
        key, inner = attribute.metadata.get(_KEY), getattr(value, attribute.name)
        has_own = attrs.has(type(inner)) and bool(keys_of(type(inner)))
        if key is not None:
            yield key, has_own or inner
        if has_own:
            yield from in_force(inner)


def shown(value: Any) -> Iterator[tuple[Key[Any], str]]:
    """Give the settings of a section as a file would have them."""
    for key, found in in_force(value):
        yield key, key.kind.show(found)


def reloaded(old: T, new: T) -> T:
    """Return the settings of a section that a running daemon has after it has read ``new``: what needs a restart stays
    as it was."""
    kept = {}
    for attribute in attrs.fields(type(old)):  # type: ignore[arg-type]
        key, before, after = attribute.metadata.get(_KEY), getattr(old, attribute.name), getattr(new, attribute.name)
        if key is None and attrs.has(type(before)) and type(after) is type(before):
            kept[attribute.name] = reloaded(before, after)
        elif key is None or key.change == RESTART:
            kept[attribute.name] = before
    return attrs.evolve(new, **kept)  # type: ignore[misc]
