"""Regular expressions of parameters and header fields, in the dialect of JSON Schema.

A client that is generated from the description sends what they match, so they must match nothing that the API refuses.
"""

from __future__ import annotations

from typing import Any, Final

from queuey.http.v2.items import MAX_KEY
from queuey.model.cursor import MAX_CURSOR, MIN_CURSOR

_PARTITION: Final = "([1-9][0-9]?|1[0-9][0-9]|200)"
ID: Final = rf"^[0-9a-f]{{12}}6[0-9a-f]{{3}}[89ab][0-9a-f]{{15}}-{_PARTITION}$"
"""An id as it is answered."""

ANY_CASE_ID: Final = rf"^[0-9a-fA-F]{{12}}6[0-9a-fA-F]{{3}}[89abAB][0-9a-fA-F]{{15}}-{_PARTITION}$"
"""An id as it is taken."""

CURSOR: Final = rf"^[A-Za-z0-9_-]{{{MIN_CURSOR},{MAX_CURSOR}}}$"
"""A cursor: its checksum cannot be put into a pattern."""

_LEAP: Final = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
_DATE: Final = (
    r"((?!0000)[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    rf"|02-(0[1-9]|1[0-9]|2[0-8]))|(?!0000){_LEAP}-02-29)"
)
_CLOCK: Final = r"([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"
_OFFSET: Final = "([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
TIME_OR_SECONDS: Final = rf"^([0-9]+(\.[0-9]*)?|\.[0-9]+|{_DATE}[Tt]{_CLOCK}{_OFFSET})$"
"""RFC 3339, of days that there are, or seconds since 1970."""

_TAG: Final = r'(W/)?"[!#-~\x80-\xff]*"'
ETAGS: Final = rf"^(\*|{_TAG}([ \t]*,[ \t]*{_TAG})*)$"

_SPEC: Final = r"([0-9]+-[0-9]*|-[0-9]+)"
_BYTES: Final = "[Bb][Yy][Tt][Ee][Ss]="
RANGE: Final = rf"^({_BYTES}[ \t]*{_SPEC}([ \t]*,[ \t]*{_SPEC})*|(?![ \t]*{_BYTES})[\t -~]*)$"
"""Ranges of bytes, or anything in another unit. That none ends before it begins cannot be put into a pattern."""

KEY: Final = rf'^"([ !#-\[\]-~]|\\["\\]){{1,{MAX_KEY}}}"$'
"""An Idempotency-Key: printable ASCII in double quotes, in which those and backslashes have a backslash before them."""

_SPACE: Final = r"([ \t]|%20|%09|%0[AaDd])*"
ENCODED_OBJECT: Final = rf"^({_SPACE}(\{{|%7[Bb]).*(\}}|%7[Dd]){_SPACE})?$"
"""What a JSON object looks like from outside, percent-encoded; one that is empty is as good as none."""


def text(pattern: str, **more: Any) -> dict[str, Any]:
    """Return the schema of a text that a pattern matches."""
    return {"type": "string", "pattern": pattern, **more}
