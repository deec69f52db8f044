"""Conditions of requests: the ETag of a queue or a group, and the members that only the server sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs

from queuey.errors import PreconditionFailed
from queuey.http.answers.problems import Problem
from queuey.http.v2.inputs.parameters import Members
from queuey.http.v2.inputs.tags import Tags, tags
from queuey.http.wire import Request
from queuey.model.timeid import Ticks, parse_time, to_rfc3339


class Made(Protocol):
    """Something that the server has made, so that it has an ETag."""

    @property
    def created(self) -> Ticks:
        """When it was made."""

    @property
    def version(self) -> str:
        """Another one after each change."""


@attrs.frozen
class Conditions:
    """If-Match and If-None-Match, as far as a request has them.

    :ivar kind: what they are about, in a word.
    """

    kind: str
    match: Tags | None
    none_match: Tags | None

    def __bool__(self) -> bool:
        return self.match is not None or self.none_match is not None

    def meet(self, made: Made | None) -> None:
        """Check the conditions against the current version, or against its absence (RFC 9110, section 13.2.2).

        :raise PreconditionFailed: if one does not hold; the text names it.
        """
        match, none_match = self.match, self.none_match
        if match is not None:
            if made is None:
                raise PreconditionFailed(f"There is no such {self.kind}.")
            if not match.any and made.version not in match.strong:
                raise PreconditionFailed(f"{self._has(made)}, which If-Match does not name.")
        if none_match is not None and made is not None:
            if none_match.any:
                raise PreconditionFailed(f"There is a {self.kind} of this name already.")
            if made.version in none_match.strong | none_match.weak:
                raise PreconditionFailed(f"{self._has(made)}, which If-None-Match names.")

    def judge(self, name: str, given: Mapping[str, Any]) -> Callable[[Made | None], None]:
        """Return the check of a change: it is called with the stored value, and raises an error to prevent the change.

        :param name: what the path names.
        :param given: the members that the client sent; those that only the server sets must be as it has set them.
        """

        def judge(made: Made | None) -> None:
            self.meet(made)
            check_read_only(given, self.kind, name, made)

        return judge

    def _has(self, made: Made) -> str:
        return f'The {self.kind} has the ETag "{made.version}"'


def conditions(request: Request, kind: str) -> Conditions:
    """The conditions of a request.

    :param kind: what they are about, in a word.
    :raise Problem: if they are not such.
    """
    return Conditions(kind, tags(request, b"if-match"), tags(request, b"if-none-match"))


def is_known(request: Request, kind: str, tag: str | None) -> bool:
    """Return whether the client of a GET already has the current representation (RFC 9110, section 13.2.2).

    :param kind: the kind of resource, a word.
    :param tag: its entity tag, without the quotes, if it has one.
    :raise Problem: if it asks for another one, or the fields are malformed.
    """
    match, none_match = tags(request, b"if-match"), tags(request, b"if-none-match")
    if match is not None and not match.any and tag not in match.strong:
        has = "no ETag" if tag is None else f'the ETag "{tag}"'
        raise Problem("precondition-failed", f"The {kind} has {has}, which If-Match does not name.")
    return none_match is not None and (none_match.any or tag in none_match.strong | none_match.weak)


def check_read_only(given: Mapping[str, Any], kind: str, name: str, made: Made | None) -> None:
    """Refuse members that only the server sets, unless they have the values that it has set.

    :param given: the members that a client sent.
    :param kind: what they are of, in a word.
    :param name: what the path names.
    :param made: what is there.
    :raise Problem: naming each of them.
    """
    asked, none_yet = Members(given), f"there is no such {kind} yet"
    if asked.value("name") not in (None, name):
        asked.wrong("name", f'is read-only, and the path names the {kind} "{name}"')
    created, version = asked.value("created"), asked.value("version")
    if created is not None and (made is None or not _is_time(created, made.created)):
        said = f'is "{to_rfc3339(made.created)}"' if made else none_yet
        asked.wrong("created", f"is read-only, and {said}")
    if version is not None and (made is None or version != made.version):
        said = f'is "{made.version}"' if made else none_yet
        asked.wrong("version", f"is read-only, and {said}")
    asked.check()


def _is_time(value: Any, ticks: Ticks) -> bool:
    return isinstance(value, str) and parse_time(value, up=False) == ticks
