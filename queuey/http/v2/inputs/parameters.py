"""Parameters in queries and members of JSON bodies of v2, checked strictly; an error names all that is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeVar
from urllib.parse import unquote_to_bytes

from queuey.http.answers.problems import Problem
from queuey.http.inputs.forms import MAX_FIELDS
from queuey.http.inputs.mistakes import Mistakes
from queuey.http.inputs.parameters import whole_number
from queuey.http.v2.inputs.header_fields import expect_type
from queuey.http.v2.inputs.strict_json import invalid_body, strict_json
from queuey.http.wire import Request
from queuey.model.fields import Real, Whole
from queuey.model.reading.start import NO_PLACE, Start, parse_place
from queuey.model.text import shown
from queuey.model.timeid import SECOND, Ticks, parse_time

E = TypeVar("E", bound=Enum)
N = TypeVar("N", int, float)

JSON: Final = "application/json"

_SECONDS: Final = re.compile(r"([0-9]+)(?:\.([0-9]+))?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_BROKEN_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_BOOLEANS: Final = {"true": True, "false": False}
_LONGEST_SPAN: Final = 12


class _Checked:
    """Values by name. The getter of an invalid one notes the mistake and returns ``None``, so that all are reported."""

    code: str
    place: str
    whole: str
    _mistakes: Mistakes | None = None
    """Made for the first mistake: most requests have none."""

    def wrong(self, name: str, text: str) -> None:
        """Note a mistake in a value."""
        self._note(self.named(name), text)

    def _note(self, place: str, text: str) -> None:
        if self._mistakes is None:
            self._mistakes = Mistakes()
        self._mistakes.add(place, text)

    def named(self, name: str) -> str:
        """Return the name of a value in error messages."""
        return name

    def check(self) -> None:
        """Raise an error with all mistakes.

        :raise Problem: if there is anything.
        """
        if self._mistakes is not None:
            raise problem_of(self._mistakes, self.code, self.place, self.whole)


def problem_of(mistakes: Mistakes, code: str, place: str, whole: str) -> Problem:
    """Return the problem that lists mistakes; if there are too many, it lists some and has their number.

    :param place: the member that has the place of each.
    :param whole: what the detail calls a place that is empty.
    """
    detail = "; ".join(f"{at or whole}: {text}" for at, text in mistakes.named)
    if mistakes.unnamed:
        detail += f". {mistakes.in_all}"
    return Problem(code, detail, errors=tuple({place: at, "detail": text} for at, text in mistakes.named))


class Query(_Checked):
    """The parameters in the query of a request's URI: each known, given once, with a value.

    No body is ever read for them.
    """

    code = "invalid-parameters"
    place = "parameter"
    whole = "the query"

    def __init__(self, request: Request | bytes, names: Collection[str], repeatable: Collection[str] = ()) -> None:
        """Read the query; ``check`` raises its mistakes together with those that the getters find.

        :param request: whose query it is, or the query itself.
        :param names: of every parameter that there may be.
        :param repeatable: those of them that may be given several times.
        """
        self._given: dict[str, list[str]] = {}
        query = request if isinstance(request, bytes) else request.line.query
        if not query:
            return
        parts = query.split(b"&", MAX_FIELDS)
        if len(parts) > MAX_FIELDS:
            self.wrong("", f"has more than {MAX_FIELDS} parameters")
            return
        for part in parts:
            self._take(part, names, repeatable)

    def _take(self, part: bytes, names: Collection[str], repeatable: Collection[str]) -> None:
        raw_name, _, raw_value = part.partition(b"=")
        name, value = _decoded(raw_name), _decoded(raw_value)
        if not part:
            self.wrong("", "has an ampersand without a parameter")
        elif name is None or value is None:
            self.wrong(shown(raw_name.decode("ascii", "replace")), "is not UTF-8 text, percent-encoded")
        elif name not in names:
            known = f"known here: {', '.join(names)}" if names else "there are none here"
            self.wrong(shown(name), f"is not known; {known}")
        elif not value:
            self.wrong(name, "is empty; leave it out, or give it a value")
        elif name in self._given and name not in repeatable:
            self.wrong(name, "is given more than once")
        else:
            self._given.setdefault(name, []).append(value)

    def text(self, name: str) -> str | None:
        """A parameter as it came, or ``None`` if it is absent."""
        values = self._given.get(name)
        return values[0] if values else None

    def texts(self, name: str) -> Sequence[str]:
        """Return the values of a repeatable parameter as they came."""
        return self._given.get(name, ())

    def number(self, field: Whole) -> int | None:
        """Return a whole number, or ``None`` if it is absent or wrong."""
        raw = self.text(field.name)
        return None if raw is None else self._number(field, raw)

    def many(self, field: Whole) -> tuple[int, ...]:
        """Return the whole numbers of a repeatable parameter, in rising order, each once."""
        found = [self._number(field, raw) for raw in self._given.get(field.name, ())]
        return tuple(sorted({number for number in found if number is not None}))

    def _number(self, field: Whole, raw: str) -> int | None:
        value = whole_number(raw) if raw.isascii() and raw.isdigit() else None
        if value is not None and field.low <= value <= field.high:
            return value
        self.wrong(field.name, field.refusal(raw))
        return None

    def seconds(self, field: Real) -> Ticks | None:
        """Return a span of time in ticks, rounded down, or ``None`` if it is absent or wrong. It is sent in decimal
        seconds."""
        raw = self.text(field.name)
        if raw is None:
            return None
        match = _SECONDS.fullmatch(raw)
        if match is not None and len(match[1]) <= _LONGEST_SPAN:
            ticks = int(match[1]) * SECOND + int((match[2] or "")[:7].ljust(7, "0"))
            if match[3] is not None:
                # Programs write 0.00001 as 1e-05.
                ticks = int(Decimal(raw) * SECOND)
            if field.low * SECOND <= ticks <= field.high * SECOND:
                return Ticks(ticks)
        self.wrong(field.name, field.refusal(raw))
        return None

    def log_place(self, name: str) -> Start | Ticks | None:
        """Return a place in a log: one of its ends, or a time as in RFC 3339 or in decimal seconds since 1970."""
        raw = self.text(name)
        if raw is None:
            return None
        found = parse_place(raw)
        if found is None:
            self.wrong(name, f'"{shown(raw)}" is {NO_PLACE}')
        return found

    def choice(self, name: str, among: type[E]) -> E | None:
        """One of a few words."""
        raw = self.text(name)
        return None if raw is None else chosen(raw, among, lambda text: self.wrong(name, text))

    def boolean(self, name: str) -> bool:
        """``true`` or ``false``; absent is false."""
        raw = self.text(name)
        if raw is None:
            return False
        value = _BOOLEANS.get(raw)
        if value is None:
            self.wrong(name, f'"{shown(raw)}" is neither true nor false')
        return bool(value)


def _decoded(raw: bytes) -> str | None:
    """Decode a name or value of a query (a plus sign is a space); ``None`` if it is not percent-encoded UTF-8."""
    if raw.isalnum():
        return raw.decode("ascii")
    if _BROKEN_ESCAPE.search(raw) is not None:
        return None
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        return None


def chosen(raw: str, among: type[E], wrong: Callable[[str], None]) -> E | None:
    """Return the member of an enumeration that a text names; if there is none, call ``wrong`` with the reason."""
    try:
        return among(raw)
    except ValueError:
        words = ", ".join(str(member.value).replace("_", "-") for member in among)
        wrong(f'"{shown(raw)}" is not one of {words}')
        return None


class Members(_Checked):
    """The members of a JSON object in a body; mistakes name them by JSON pointers (RFC 6901)."""

    code = "invalid-body"
    place = "pointer"
    whole = "the body"

    def __init__(self, given: Mapping[str, Any], pointer: str = "") -> None:
        """
        :param pointer: the JSON pointer of the object.
        """
        self._given = given
        self._pointer = pointer
        self._outer: Members | None = None

    def named(self, name: str) -> str:
        """The JSON pointer of a member; a name with a slash in it goes deeper, an empty one is the whole."""
        return f"{self._pointer}/{name}" if name else self._pointer

    def within(self, name: str, given: Mapping[str, Any]) -> Members:
        """Return the members of an object inside this one; their mistakes are noted here."""
        inner = Members(given, self.named(name))
        inner._outer = self
        return inner

    def _note(self, place: str, text: str) -> None:
        if self._outer is None:
            super()._note(place, text)
        else:
            self._outer._note(place, text)

    def only(self, known: Sequence[str]) -> None:
        """Note the members that are not known."""
        for name in self._given:
            if name not in known:
                self.wrong(pointer_part(name), f"is not known; known here: {', '.join(known)}")

    def time(self, name: str) -> Ticks | None:
        """A moment, as text: RFC 3339, or seconds since 1970 in decimal."""
        raw = self.text(name)
        found = None if raw is None else parse_time(raw, up=True)
        if raw is not None and found is None:
            self.wrong(name, f'"{shown(raw)}" is neither a time as in RFC 3339 nor seconds since 1970 in decimal')
        return found

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def value(self, name: str) -> Any:
        """A member as it came, or ``None`` if it is absent or null."""
        return self._given.get(name)

    def text(self, name: str) -> str | None:
        """Text."""
        value = self._given.get(name)
        if value is None or isinstance(value, str):
            return value
        self.wrong(name, "is not text")
        return None

    def number(self, field: Whole) -> int | None:
        """Return a whole number, or ``None`` if it is absent, null or wrong."""
        return self._number(field, field.of_json)

    def seconds(self, field: Real) -> float | None:
        """Return a span of time in seconds, or ``None`` if it is absent, null or wrong."""
        return self._number(field, field.of_json)

    def boolean(self, name: str) -> bool:
        """``true`` or ``false``; absent or null is false."""
        value = self._given.get(name)
        if value is not None and not isinstance(value, bool):
            self.wrong(name, "is neither true nor false")
        return value is True

    def _number(self, field: Whole | Real, read: Callable[[Any], N]) -> N | None:
        value = self._given.get(field.name)
        if value is None:
            return None
        try:
            return read(value)
        except ValueError:
            self.wrong(field.name, field.refusal())
            return None

    def choice(self, name: str, among: type[E]) -> E | None:
        """One of a few words."""
        value = self.text(name)
        return None if value is None else chosen(value, among, lambda text: self.wrong(name, text))


def members(
    request: Request, allowed: Collection[str], media_type: str = JSON, header: bytes = b"Accept"
) -> dict[str, Any]:
    """Return the members of the JSON object in a body; an empty body has none.

    :param allowed: the names of the members that may be given.
    :param media_type: the type that the body must have.
    :param header: the header field in which a refusal lists that type.
    :raise Problem: if the body has another type or is not such an object.
    """
    if not request.body:
        return {}
    plan = request.head.plan
    if plan is None or plan.body_type != media_type:
        expect_type(request, (media_type,), header)
        if plan is not None:
            plan.body_type = media_type
    decoded = strict_json(request.body)
    if not isinstance(decoded, dict):
        raise invalid_body("", "The body is not a JSON object.")
    for name in decoded:
        if name not in allowed:
            refuse_unknown(decoded, allowed)
    return decoded


def refuse_unknown(given: Mapping[str, Any], allowed: Iterable[str], where: str = "") -> None:
    """Refuse an object that has unknown members.

    :param where: the JSON pointer of the object.
    :raise Problem: if there are any; it names each of them.
    """
    asked = Members(given, where)
    asked.only(tuple(allowed))
    asked.check()


def refuse_reported(given: Mapping[str, Any], reported: Mapping[str, str]) -> None:
    """Refuse members of a patch that show what something does: a patch with them would seem to have changed it.

    A PUT ignores them, so that a client can send back the whole of what a GET has returned.

    :param reported: what changes each of them, by its name.
    :raise Problem: naming each of them.
    """
    asked = Members(given)
    for name in given:
        if name in reported:
            asked.wrong(name, f"is read-only: {reported[name]}")
    asked.check()


def pointer_part(name: str) -> str:
    """Return a member's name escaped for a JSON pointer, and cut if it is long."""
    return shown(name).replace("~", "~0").replace("/", "~1")


def refuse_query(request: Request) -> None:
    """Refuse all parameters in the query; the ``check`` of routes without parameters.

    :raise Problem: naming each of them.
    """
    if request.line.query:
        Query(request, ()).check()
