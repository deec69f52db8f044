"""Settings of queues, groups, pushes and schedules as ``KEY=VALUE``, and what changing them changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from queuey_client.cli.failures import Failure
from queuey_client.cli.settings import Settings
from queuey_client.core.encoding import JSON, PATCH, compact
from queuey_client.core.errors import Changed, NotFound
from queuey_client.core.parsing import result_of
from queuey_client.core.queue_calls import ensured, is_absent
from queuey_client.core.session import Session
from queuey_client.core.steps import Answer, Call, Steps
from queuey_client.sync.transport import Driver

Document = Mapping[str, Any]

READ_ONLY = (
    *("name", "version", "lag", "limits"),
    *("secrets", "state", "since", "failures", "last_error", "blocked"),  # of pushes
    *("next", "last_posted", "last_error_detail", "last_error_time"),  # of schedules
)


def members_of(words: Sequence[str]) -> dict[str, Any]:
    """Read settings; ``default`` brings one to its default.

    :raise click.UsageError: if a word is not ``KEY=VALUE``.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{word!r} is not KEY=VALUE, such as ttl=3600")
        if name in found:
            raise click.UsageError(f"{name} is given twice")
        found[name] = None if text == "default" else _value(text)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def get(session: Session, path: str) -> Steps[Document | None]:
    """Ask for a queue, a group, a push or a schedule; ``None`` if it is not there."""
    try:
        answer = yield from session.exchange(Call("GET", path))
    except NotFound as error:
        if not is_absent(error, path):
            raise
        return None
    found: Document = result_of(answer, dict)
    return found


def change(
    session: Session, path: str, members: Document, create_only: bool, match: str | None, needed: Sequence[str] = ()
) -> Steps[Document]:
    """Create a queue, a group, a push or a schedule, or change it; ``needed`` as for ``ensured``."""
    answer: Answer
    if create_only:
        headers = {"Content-Type": JSON, "If-None-Match": "*"}
        given = {name: value for name, value in members.items() if value is not None}
        answer = yield from session.exchange(Call("PUT", path, (), headers, compact(given), safe=False))
    elif match is not None:
        tag = match if match.startswith('"') else f'"{match}"'
        headers = {"Content-Type": PATCH, "If-Match": tag}
        answer = yield from session.exchange(Call("PATCH", path, (), headers, compact(dict(members)), safe=False))
    else:
        answer = yield from ensured(session, path, members, needed)
    found: Document = result_of(answer, dict)
    return found


def apply(
    settings: Settings,
    driver: Driver,
    session: Session,
    path: str,
    words: Sequence[str],
    create_only: bool,
    match: str | None,
    needed: Sequence[str] = (),
) -> Document:
    """Change a queue, a group, a push or a schedule, and print what changed.

    ``+`` is made, ``~`` changed, ``=`` as it was.

    :return: what the server answered.
    """
    members = members_of(words)
    if create_only and match is not None:
        raise click.UsageError("--create-only or --if-match, not both")
    before = driver.run(get(session, path))
    if create_only and before is not None:
        raise Failure(f"{before.get('name')} is there already")
    try:
        after = driver.run(change(session, path, members, create_only, match, needed))
    except Changed as error:
        if match is None:
            raise
        version = (before or {}).get("version")
        raise Failure(f"it was changed meanwhile: its version is {version}, not {match}", str(error.detail)) from None
    output = settings.output
    if not output.tables:
        output.document(after)
        return after
    rows = []
    for name, value in after.items():
        if name in READ_ONLY:
            continue
        was = None if before is None else before.get(name)
        mark = "+" if before is None else "=" if was == value else "~"
        row = {"change": mark, "setting": name, "value": value, "was": was if mark == "~" else None}
        rows.append((row, row))
    output.rows(("change", "setting", "value", "was"), rows)
    return after
