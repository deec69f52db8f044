"""One queue of a backup, put into a daemon through its API: what is stored, and how, stays the daemon's affair.

A queue is made through v2, which knows all its settings, and messages are put back through v2 in batches. What is too
large for a batch, or is refused in one, is put by itself: through v1, which takes ids of any time, and what v1 cannot
keep is then put in its place through v2.
"""

from __future__ import annotations

import http.client
import json
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode, urlsplit

import attrs
import msgspec

from queuey.model.messages.message import MAX_DELAY, MAX_TTL, Content, Message
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.timeid import SECOND, Ticks, from_seconds, ticks_of, to_v1_hex
from queuey.storage.sqlite.upkeep.backup import Archive

TIMEOUT: Final = 60.0
"""Seconds that one answer may take."""

BATCH_MESSAGES: Final = 1000
"""Maximum number of messages in a batch of the API."""

BATCH_BYTES: Final = 1 << 19
"""Maximum size of a batch in bytes; by default a daemon accepts twice as much."""

PLACEHOLDER: Final = "Here queuey restore-queue is about to put a message."
"""The body of a message whose own content is put in a second step."""

_BATCH: Final = {"Content-Type": "application/vnd.queuey.messages+json"}

_ONE_BY_ONE: Final = (400, 413, 422)
"""Statuses with which a batch is refused because of its content."""

_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


class RestoringFailed(Exception):
    """The queue was not restored, or not all of it; the text is one line.

    :ivar status: the status of the refusal, or 0.
    """

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


@attrs.frozen
class Restored:
    """Result of a restore.

    :ivar put: messages that were put.
    :ivar there: messages that the daemon had under the same ids, and that were left as they are.
    """

    put: int
    there: int


class Answer(Protocol):
    """An answer as ``http.client`` has it."""

    status: int

    def read(self) -> bytes:
        """Its body."""
        ...


class Connection(Protocol):
    """A connection as ``http.client`` has it."""

    def request(self, method: str, url: str, body: bytes | None, headers: Mapping[str, bytes]) -> None:
        """Send a request."""
        ...

    def getresponse(self) -> Answer:
        """Wait for its answer."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


def connect(url: str) -> Connection:
    """A connection that is opened with its first request.

    :param url: of the daemon, without ``/v1`` or ``/v2``.
    :raise RestoringFailed: the URL is none.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise RestoringFailed(f"{url} is no URL of a daemon, such as http://127.0.0.1:5000")
    # Without a port, http.client looks for one in the host, and finds it in addresses of IPv6.
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port or 80, timeout=TIMEOUT)
    return http.client.HTTPSConnection(host, port or 443, timeout=TIMEOUT, context=ssl.create_default_context())


class Client:
    """A client of the API for one application, over one connection; it blocks.

    :param url: of the daemon, without ``/v1`` or ``/v2``.
    """

    def __init__(self, connection: Connection, url: str, application: str, key: str) -> None:
        self.application = application
        self._connection = connection
        self._url = url
        self._root = urlsplit(url).path.rstrip("/")
        self._headers = {"Authorization": f"Application {key}".encode()}

    def ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> dict[str, Any]:
        """Send a request of v1, and return what its answer says.

        :param path: below that of the application.
        :raise RestoringFailed: it was not answered 2xx.
        """
        return self._ask(method, f"{self._root}/v1/{quote(self.application, safe='')}{path}", body, headers)

    def make(self, name: str, members: Mapping[str, Any]) -> None:
        """Make a queue that is not there.

        :param members: of the queue as v2 has them.
        :raise RestoringFailed: it was not made.
        """
        headers = {"Content-Type": "application/json", "If-None-Match": "*"}
        self._ask("PUT", self._queue(name), json.dumps(members).encode(), headers)

    def restore(self, name: str, items: Iterable[bytes]) -> Restored:
        """Put messages back that the queue does not have.

        :param items: at most ``BATCH_MESSAGES`` messages, as v2 has them in JSON.
        :raise RestoringFailed: it was not answered 2xx.
        """
        body = b'{"messages":[%b]}' % b",".join(items)
        found = self._ask("PUT", f"{self._queue(name)}/messages", body, _BATCH)
        return Restored(found["stored"], found["there"])

    def overwrite(self, name: str, message: Message, ttl: int) -> None:
        """Put the content of a message in the place of what is there under its id.

        :param name: of its queue.
        :param ttl: seconds to live, from now on or from when it is due.
        :raise RestoringFailed: it was not written.
        """
        content, headers = message.content, {"If-Match": "*"}
        if content.content_type is not None:
            headers["Content-Type"] = content.content_type
        if content.headers is not None:
            headers["Queuey-Headers"] = quote(content.headers, safe="")
        path = f"{self._queue(name)}/messages/{message.id.hex()}-{message.partition}?ttl={ttl}"
        self._ask("PUT", path, content.body, headers)

    def _queue(self, name: str) -> str:
        return f"{self._root}/v2/{quote(self.application, safe='')}/queues/{quote(name, safe='')}"

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> dict[str, Any]:
        encoded = {name: value.encode() for name, value in headers.items()}
        try:
            self._connection.request(method, path, body, {**self._headers, **encoded})
            answer = self._connection.getresponse()
            text = answer.read()
            document = {} if answer.status == 204 else json.loads(text)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RestoringFailed(f"{self._url} does not answer: {error or type(error).__name__}") from error
        if not (200 <= answer.status < 300 and isinstance(document, dict)):
            raise RestoringFailed(f"{method} {path} was answered {answer.status}: {_reason(document)}", answer.status)
        return document

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _reason(document: Any) -> str:
    if isinstance(document, dict):
        problems, detail = document.get("error_msg"), document.get("detail")
        if isinstance(problems, dict):
            return "; ".join(map(str, problems.values()))
        if isinstance(detail, str):
            return detail
    return json.dumps(document)[:200]


def restore_queue(
    archive: Archive,
    client: Client,
    name: str,
    new_name: str,
    now: Callable[[], float],
    on_messages: Callable[[int, int], object] = lambda count, total: None,
) -> Restored:
    """Put the messages of a queue into a daemon, those that it does not have.

    The queue is made if it is not there. If it is there it keeps its settings, but has as many partitions afterwards
    as it had in the backup, at least. Messages live as long as they would have.

    :param now: the wall clock, in seconds since 1970.
    :param on_messages: is called after each batch with the number of messages so far, and of all that the backup has.
    :raise RestoringFailed: what was put until then is there; it may be done again.
    :raise Unavailable: the backup cannot be read.
    """
    queue = archive.queue(client.application, name)
    if queue is None:
        raise RestoringFailed(f'The backup has no queue "{name}" of the application "{client.application}".')
    _prepare(client, queue, new_name)
    total = archive.count(queue)
    put = there = 0
    for some in _batches(archive.messages(queue, from_seconds(now())), now):
        done = _restore(client, new_name, some, now)
        put, there = put + done.put, there + done.there
        on_messages(put + there, total)
    return Restored(put, there)


def _prepare(client: Client, queue: Queue, name: str) -> None:
    """See to it that the queue is there, and has partitions enough."""
    query = urlencode({"offset": name, "limit": 1, "details": "true"})
    listed = client.ask("GET", f"?{query}", None, {})["queues"]
    settings = queue.settings
    if not listed or listed[0]["queue_name"] != name:
        client.make(name, _members(settings))
    elif listed[0]["partitions"] < settings.partitions:
        form = {"partitions": settings.partitions}
        client.ask("PUT", f"/{quote(name, safe='')}", urlencode(form).encode(), _FORM)


def _members(settings: QueueSettings) -> dict[str, Any]:
    """The members of a queue as v2 has them; those that the queue leaves to its application are left out."""
    members = {
        "type": settings.type.value,
        "partitions": settings.partitions,
        "consistency": settings.consistency.value.replace("_", "-"),
        "principals": list(settings.principals),
    }
    if settings.guarantee is not None:
        members["guarantee"] = settings.guarantee.value
    if settings.ttl is not None:
        members["ttl"] = settings.ttl
    return members


@attrs.frozen
class _Item:
    """A message, and its JSON in a batch."""

    message: Message
    text: bytes


def _batches(messages: Iterable[Message], now: Callable[[], float]) -> Iterator[list[_Item]]:
    """The messages, as many together as are put by one request; one that is too large for that comes alone."""
    some: list[_Item] = []
    size = 0
    for message in messages:
        item = _Item(message, _json(message, from_seconds(now())))
        if some and (len(some) == BATCH_MESSAGES or size + len(item.text) > BATCH_BYTES):
            yield some
            some, size = [], 0
        some.append(item)
        size += len(item.text) + 1
    if some:
        yield some


def _json(message: Message, time: Ticks) -> bytes:
    """A message as a batch has it."""
    content = message.content
    item: dict[str, Any] = {"id": f"{message.id.hex()}-{message.partition}", "content_type": content.content_type}
    try:
        item["body"] = content.body.decode("utf-8")
    except UnicodeDecodeError:
        item["body_base64"] = b64encode(content.body).decode("ascii")
    if content.headers is not None:
        item["headers"] = msgspec.Raw(content.headers)
    item["ttl"] = _seconds(time, message.expires, MAX_TTL + MAX_DELAY)
    return msgspec.json.encode(item)


def _restore(client: Client, name: str, items: Sequence[_Item], now: Callable[[], float]) -> Restored:
    """Put messages back by one request, or one by one if the daemon refuses that."""
    time = from_seconds(now())
    items = [item for item in items if item.message.expires > time]
    if not items:
        return Restored(0, 0)
    if sum(len(item.text) for item in items) <= BATCH_BYTES:
        try:
            return client.restore(name, [item.text for item in items])
        except RestoringFailed as error:
            if error.status not in _ONE_BY_ONE:
                raise
    if len(items) > 1:
        # A message that is refused is found by halving the batch.
        halves = [_restore(client, name, half, now) for half in (items[: len(items) // 2], items[len(items) // 2 :])]
        return Restored(sum(half.put for half in halves), sum(half.there for half in halves))
    (item,) = items
    found = _present(client, f"/{quote(name, safe='')}", (item.message,))
    body = found.get(_place(item.message))
    if body is None or body == PLACEHOLDER:
        return Restored(int(_put(client, name, item.message, now)), 0)
    return Restored(0, 1)


def _place(message: Message) -> str:
    """Return the address of a message as the API writes it."""
    return f"{message.partition}:{to_v1_hex(message.id)}"


def _present(client: Client, path: str, messages: Iterable[Message]) -> dict[str, str]:
    """The bodies of what the daemon has at the places of these messages."""
    answer = client.ask("GET", f"{path}/{','.join(map(_place, messages))}", None, {})
    return {f"{found['partition']}:{found['message_id']}": found["body"] for found in answer["messages"]}


def _put(client: Client, name: str, message: Message, now: Callable[[], float]) -> bool:
    """Store a message for the rest of its time; ``False`` if its time is over."""
    time = from_seconds(now())
    if message.expires <= time:
        return False
    content, path = message.content, f"/{quote(name, safe='')}/{_place(message)}"
    headers = {"X-TTL": str(_seconds(time, message.expires))}
    if _is_beyond_v1(content):
        client.ask("PUT", path, PLACEHOLDER.encode(), headers)
        # To v2 a delayed message lives from when it is due; one that is almost due may be due to the daemon.
        due = ticks_of(message.id)
        begins = due if SECOND < due - time <= MAX_DELAY * SECOND else time
        client.overwrite(name, message, _seconds(begins, message.expires))
        return True
    if content.content_type is not None:
        headers["Content-Type"] = content.content_type
    client.ask("PUT", path, content.body, headers)
    return True


def _seconds(begins: Ticks, ends: Ticks, most: int = MAX_TTL) -> int:
    """Return a time to live in whole seconds, as the APIs count it; rounded up, so that no message ends too early."""
    return max(1, min(-(-(ends - begins) // SECOND), most))


def _is_beyond_v1(content: Content) -> bool:
    """Whether v1 cannot take a content: it has headers, is empty, or no text."""
    if content.headers is not None or not content.body:
        return True
    try:
        content.body.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False
