"""The calls of a queue, as generators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from queuey_client.core import encoding
from queuey_client.core.encoding import compact, is_end, key_header, new_key, number, place_text, query, segment
from queuey_client.core.errors import Changed, NotFound, NotPromised
from queuey_client.core.following import Idle, Source, Start, Waits, followed, start_of
from queuey_client.core.live_read import LiveRead, live_query
from queuey_client.core.parsing import group_info, page_of, queue_info, result_of, single_message, stored_of
from queuey_client.core.reading import Bookmark, FollowOptions, ReadOptions, reading
from queuey_client.core.retry import Seconds, in_seconds
from queuey_client.core.session import Session
from queuey_client.core.signing import signed_url
from queuey_client.core.steps import Answer, Call, Give, Items, Steps
from queuey_client.core.values import Draft, GroupInfo, Message, Page, QueueInfo, Stored, draft_of
from queuey_client.core.writing import Entry, Refused, write

MAX_BATCH = 1000

_OF_A_QUEUE = 2
"""Slashes in the path of a queue; the paths of what belongs to it have more."""


class QueueCalls:
    """What can be asked of one queue."""

    def __init__(self, session: Session, name: str) -> None:
        self.session = session
        self.name = name
        self.path = f"/queues/{segment(name)}"
        self.messages_path = f"{self.path}/messages"

    # Writing

    def post(self, draft: Draft, idempotency_key: str | None) -> Steps[Stored]:
        """Store a message."""
        key = draft.idempotency_key if idempotency_key is None else idempotency_key
        options = query(
            ("ttl", None if draft.ttl is None else number(draft.ttl)),
            ("partition", None if draft.partition is None else str(draft.partition)),
            ("key", draft.key),
            ("delay", None if draft.delay is None else number(draft.delay)),
        )
        headers = {"Content-Type": draft.content_type, **encoding.own_headers(draft.headers)}
        if draft.content_type.split(";")[0].strip().lower() in (encoding.BATCH, encoding.LINES):
            raise ValueError(f"a single message cannot be of the type {draft.content_type}; see post_all and writer")
        return self._store(options, headers, draft.body, key)

    def post_all(self, drafts: Iterable[object], idempotency_key: str | None) -> Steps[Stored]:
        """Store up to 1000 messages, all or none."""
        found = [draft_of(each) for each in drafts]
        if not found:
            raise ValueError("there are no messages to store")
        if len(found) > MAX_BATCH:
            raise ValueError(f"{len(found)} messages are more than the {MAX_BATCH} of a batch; see writer")
        if any(draft.idempotency_key is not None for draft in found):
            raise ValueError("one idempotency_key covers all messages of post_all; a writer takes one for each")
        body = compact({"messages": [draft.document() for draft in found]})
        return self._store((), {"Content-Type": encoding.BATCH}, body, idempotency_key)

    def _store(
        self, options: encoding.Query, headers: Mapping[str, str], body: bytes, wanted: str | None
    ) -> Steps[Stored]:
        """Store a body under a key: the caller's, or one that is made here and is left out if the queue takes none."""
        own = wanted is None
        key = new_key() if own and self.session.takes_keys(self.path) else wanted

        def call(key: str | None) -> Call:
            fields = {**headers, **key_header(key)}
            return Call("POST", self.messages_path, options, fields, body, safe=bool(key))

        try:
            answer: Answer = yield from self.session.exchange(call(key))
        except NotPromised as error:
            if not own or not key or error.applied != "no":
                raise
            answer = yield from self.session.exchange(call(None))
            # Now it is known that the key was what this queue does not take.
            self.session.refuses_keys(self.path)
            key = None
        return result_of(answer, lambda document: stored_of(document, key))

    def write(self, piece: Sequence[Entry]) -> Steps[list[Refused]]:
        """Store a piece of a stream."""
        return write(self.session, self.path, self.messages_path, piece)

    def put(
        self,
        id: str,
        draft: Draft,
        if_match: str | None,
        if_none_match: str | None,
    ) -> Steps[bool]:
        """Overwrite a message."""
        headers = {"Content-Type": draft.content_type, **encoding.own_headers(draft.headers)}
        if if_match is not None:
            headers["If-Match"] = if_match
        if if_none_match is not None:
            headers["If-None-Match"] = if_none_match
        # With a condition, a repeat of what was done already would be refused, and look as if another had done it.
        safe = if_match is None and if_none_match is None
        options = query(("ttl", None if draft.ttl is None else number(draft.ttl)))
        call = Call("PUT", f"{self.messages_path}/{segment(id)}", options, headers, draft.body, safe=safe)
        answer: Answer = yield from self.session.exchange(call)
        return answer.status == 201

    def delete(self, id: str) -> Steps[None]:
        """Delete a message. One that an attempt before this one has deleted is no error."""
        try:
            yield from self.session.exchange(Call("DELETE", f"{self.messages_path}/{segment(id)}"))
        except NotFound as error:
            if error.code != "no-such-message" or error.attempts == 1:
                raise

    def purge(self, before: datetime | str) -> Steps[None]:
        """Delete all messages before a place."""
        # At the end, a repeat would reach further.
        safe = not is_end(before)
        call = Call("DELETE", self.messages_path, (("before", place_text(before)),), safe=safe)
        yield from self.session.exchange(call)

    # Reading

    def read(self, options: ReadOptions) -> Steps[Page]:
        """Read a page."""
        call = Call("GET", self.messages_path, options.query(), wait=in_seconds(options.wait))
        answer: Answer = yield from self.session.exchange(call)
        return result_of(answer, lambda document: page_of(self.name, document))

    def get(self, id: str) -> Steps[Message]:
        """Read a message by its id."""
        answer: Answer = yield from self.session.exchange(Call("GET", f"{self.messages_path}/{segment(id)}"))
        return single_message(self.name, answer)

    def messages(self, options: FollowOptions) -> Items[Message]:
        """Give all messages that are there."""
        return reading(self.read, self.name, options, self.session.clock)

    def follow(self, options: FollowOptions) -> Items[Message]:
        """Give messages that are there, and then those that come: by a live read, or else by pages that wait."""
        session, read, bookmark = self.session, options.read, Bookmark(options, self.session.clock)
        start, idle = start_of(options, bookmark), Idle(options.idle, session.clock)

        def call_of(start: Start) -> Call:
            return Call("GET", f"{self.path}/events", live_query(read, start))

        live = LiveRead(session, self.name, call_of, start, idle)

        def waits(start: Start) -> Source:
            return Waits(partial(self._next_page, read), start, idle, session.clock)

        yield from followed(live, bookmark, self.name, options.on_gap, waits)

    def _next_page(self, options: ReadOptions, start: Start, wait: float) -> Steps[Page]:
        """Read the page after a start. In an empty queue all that comes is new."""
        if start.newest:
            page = yield from self.read(replace(options, order="desc", limit=1))
            start = Start(page.messages[0].place if page.messages else None)
        return (yield from self.read(replace(options, after=start.after, since=start.since, wait=wait)))

    # The queue itself

    def info(self, counts: bool = False) -> Steps[QueueInfo]:
        """Ask for the queue's settings."""
        answer: Answer = yield from self.session.exchange(Call("GET", self.path, query(_counts(counts))))
        return result_of(answer, queue_info)

    def ensure(self, settings: Mapping[str, Any]) -> Steps[QueueInfo]:
        """Create the queue, or give it these settings and leave the others."""
        answer = yield from ensured(self.session, self.path, settings)
        return result_of(answer, queue_info)

    def remove(self) -> Steps[None]:
        """Delete the queue."""
        yield from removed(self.session, self.path)

    def groups(self) -> Steps[Sequence[GroupInfo]]:
        """Ask for all groups."""
        answer: Answer = yield from self.session.exchange(Call("GET", f"{self.path}/groups"))
        return result_of(answer, lambda document: [group_info(each) for each in document["groups"]])

    def signed_url(self, operations: Sequence[str], seconds: Seconds, rate: int | None, path: str) -> str:
        """Make a URL that lets others in.

        :raise ValueError: if the path is none that is read.
        """
        if path not in ("messages", "events"):
            raise ValueError(f"path is messages or events, not {path!r}")
        session = self.session
        key = session.credentials.application_key()
        base = f"{session.endpoints.first}/v2/{segment(session.application)}{self.path}/{path}"
        return signed_url(base, key, session.application, self.name, operations, in_seconds(seconds), rate)


def ensured(session: Session, path: str, settings: Mapping[str, Any], needed: Sequence[str] = ()) -> Steps[Answer]:
    """Create a queue, a group, a push or a schedule, or change single settings of the one that is there.

    Programs may do so at the same time: creation is for one of them, and a merge patch leaves what it does not name.

    :param needed: settings without which it cannot be created, so that it has to be there.
    """
    complete = all(settings.get(name) is not None for name in needed)
    while True:
        body, headers = compact(dict(settings)), {"Content-Type": encoding.JSON, "If-None-Match": "*"}
        answer: Answer
        if complete:
            try:
                answer = yield from session.exchange(Call("PUT", path, (), headers, body))
                return answer
            except Changed:
                pass  # it is there
        try:
            if not settings:
                answer = yield from session.exchange(Call("GET", path))
            else:
                answer = yield from session.exchange(Call("PATCH", path, (), {"Content-Type": encoding.PATCH}, body))
            return answer
        except NotFound as error:
            if not complete or not is_absent(error, path):
                raise
            # It was deleted in between.


def is_absent(error: NotFound, path: str) -> bool:
    """Return whether what the path names is not there, and not the queue that it belongs to."""
    if error.code == "no-such-queue":
        return path.count("/") == _OF_A_QUEUE
    return error.code in ("no-such-group", "no-such-push", "no-such-schedule")


def removed(session: Session, path: str) -> Steps[None]:
    """Delete a queue, or something that belongs to it. What an attempt before this one has deleted is no error."""
    try:
        yield from session.exchange(Call("DELETE", path))
    except NotFound as error:
        if error.attempts == 1:
            raise


def _counts(wanted: bool) -> tuple[str, str | None]:
    return ("counts", "true" if wanted else None)


def listed(session: Session, prefix: str, counts: bool = False) -> Items[QueueInfo]:
    """Give all queues of the application, page by page."""
    after: str | None = None
    while True:
        answer = yield from session.exchange(
            Call("GET", "/queues", query(("prefix", prefix or None), ("after", after), _counts(counts)))
        )
        names, after = result_of(answer, lambda found: ([queue_info(each) for each in found["queues"]], found["next"]))
        for each in names:
            yield Give(each)
        if after is None:
            return
