"""``queuey post``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Optional

import click

from queuey_client.cli import completing, failures
from queuey_client.cli.arguments.inputs import BadLine, Options, file_draft, line_draft, pieces, whole
from queuey_client.cli.arguments.times import DUE, DURATION
from queuey_client.cli.failures import Failure
from queuey_client.cli.options import Command
from queuey_client.cli.progress import Progress
from queuey_client.cli.settings import Settings, complain
from queuey_client.core.counted import counted
from queuey_client.core.encoding import new_key
from queuey_client.core.errors import NotAllowed, NotPromised, QueueyError
from queuey_client.core.queue_calls import MAX_BATCH
from queuey_client.core.values import Draft, Stored
from queuey_client.sync.queue import Queue

EXAMPLES = """\
queuey post orders '{"pears": 3}' -t application/json
tail -F access.log | queuey post log --lines
queuey read orders --ndjson | queuey -C other post orders --ndjson -"""

Numbered = tuple[int, Optional[Draft], str]
"""The number of a message, the message, or why there is none."""


@click.command("post", cls=Command, epilog=EXAMPLES)
@click.argument("queue", shell_complete=completing.queues)
@click.argument("body", required=False)
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="post this file as a message, with the media type of its suffix; with --lines, --null or --ndjson, "
    "read the messages from it. May be repeated.",
)
@click.option("-l", "--lines", is_flag=True, help="post each line of the input as a message")
@click.option("-0", "--null", "null", is_flag=True, help="like --lines, for input that is separated by NUL characters")
@click.option(
    "--ndjson",
    is_flag=True,
    help="post each line of the input, a JSON object with body or body_base64, and with content_type, key, ttl, delay, "
    "headers if you like",
)
@click.option(
    "-t",
    "--type",
    "content_type",
    metavar="TYPE",
    help="the media type  [default: text/plain for text, application/octet-stream for bytes]",
)
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="NAME=VALUE",
    help="add a header to the message; VALUE may be JSON. May be repeated.",
)
@click.option("-k", "--key", metavar="TEXT", help="messages with the same key keep their order")
@click.option("-p", "--partition", type=click.IntRange(1), metavar="N", help="post to this partition")
@click.option(
    "--ttl", type=DURATION, metavar="DURATION", help="delete the message after so long, such as 90s, 15m, 6h or 3d"
)
@click.option(
    "--delay",
    type=DUE,
    metavar="DURATION|TIME",
    help="let readers and workers see the message later: after so long, or at a time",
)
@click.option(
    "--idempotency-key",
    metavar="TEXT",
    help="the Idempotency-Key; if there are many messages, -1, -2 ... is appended to it",
)
@click.option(
    "--batch",
    is_flag=True,
    help=f"store all messages together (at most {MAX_BATCH}); if one is refused, none is stored",
)
@click.option("--rate", type=click.FloatRange(0, min_open=True), metavar="N", help="post at most N messages a second")
@click.option(
    "--count",
    type=click.IntRange(1),
    metavar="N",
    help="post the message N times; {n} in BODY is replaced by the number",
)
@click.option("--create", is_flag=True, help="create the queue if it does not exist")
@click.option("--progress/--no-progress", default=None, help="show progress  [default: after a second, on a terminal]")
@click.pass_obj
def post(
    settings: Settings,
    queue: str,
    body: str | None,
    files: tuple[Path, ...],
    lines: bool,
    null: bool,
    ndjson: bool,
    content_type: str | None,
    headers: tuple[str, ...],
    key: str | None,
    partition: int | None,
    ttl: float | None,
    delay: float | None,
    idempotency_key: str | None,
    batch: bool,
    rate: float | None,
    count: int | None,
    create: bool,
    progress: bool | None,
) -> int:
    """Store a message, or many.

    Without BODY, or if BODY is -, standard input is one message. With --lines, --null or --ndjson it is many.

    Each message gets an Idempotency-Key. If the command is interrupted, it prints an --idempotency-key: with that
    option the same command can be repeated, and no message is stored twice.
    """  # fmt: skip
    many = lines or null or ndjson
    if lines + null + ndjson > 1:
        raise click.UsageError("use one of --lines, --null and --ndjson")
    if body not in (None, "-") and (many or files):
        raise click.UsageError("BODY is a message; it does not go together with --file, --lines, --null or --ndjson")
    if count is not None and (many or files):
        raise click.UsageError("--count does not go together with --file, --lines, --null or --ndjson")
    options = Options(content_type, _headers(headers), key, partition, ttl, delay)
    target = settings.client.queue(queue)
    if create:
        target.ensure()
    sender = _Sender(settings, target, idempotency_key, rate, progress)
    if many:
        found: Iterator[Numbered] = _lines(files, b"\0" if null else b"\n", ndjson, options, settings)
        return sender.batch(found) if batch else sender.stream(found)
    if files:
        drafts = [file_draft(path, options) for path in files]
        if batch:
            return sender.batch((number, draft, "") for number, draft in enumerate(drafts, 1))
        return sender.each(drafts, [str(path) for path in files])
    text = _standard_input(settings) if body in (None, "-") else str(body).encode("utf-8", "surrogateescape")
    if count is None:
        return sender.each([options.draft(text)], None)
    copies = ((number, options.draft(text.replace(b"{n}", b"%d" % number)), "") for number in range(1, count + 1))
    return sender.batch(copies) if batch else sender.stream(copies, count)


def _headers(given: tuple[str, ...]) -> dict[str, Any] | None:
    found: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--header: {each!r} is not NAME=VALUE")
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found or None


def _standard_input(settings: Settings) -> bytes:
    if sys.stdin.isatty():
        settings.say("type the message; Ctrl-D ends it")
    return whole(sys.stdin.buffer, "standard input")


def _lines(
    files: tuple[Path, ...], end: bytes, ndjson: bool, options: Options, settings: Settings
) -> Iterator[Numbered]:
    number = 0
    if not files and sys.stdin.isatty():
        settings.say("type lines; Ctrl-D ends the last one")
    for path in files or (None,):
        stream = sys.stdin.buffer if path is None or str(path) == "-" else path.open("rb")
        try:
            for piece in pieces(stream, end):
                number += 1
                if not ndjson:
                    yield number, options.draft(piece), ""
                elif piece.strip():
                    try:
                        yield number, line_draft(piece, options), ""
                    except (BadLine, TypeError, ValueError) as error:
                        yield number, None, str(error)
        finally:
            if stream is not sys.stdin.buffer:
                stream.close()


class _Sender:
    """Stores messages, and says what became of them."""

    def __init__(
        self, settings: Settings, queue: Queue, key: str | None, rate: float | None, progress: bool | None
    ) -> None:
        self._settings = settings
        self._output = settings.output
        self._queue = queue
        self._key = key
        self._base = key or new_key()
        self._pause = 0.0 if rate is None else 1.0 / rate
        self._progress = settings.progress(progress)
        self._bad = 0
        self._refused = 0
        self._last = failures.REFUSED

    def each(self, drafts: list[Draft], names: list[str] | None) -> int:
        """Store single messages, and print their ids."""
        rows = []
        with Progress(self._progress and len(drafts) > 1, f"post to {self._queue.name}", len(drafts)) as bar:
            for number, draft in enumerate(drafts, 1):
                key = self._base if len(drafts) == 1 else f"{self._base}-{number}"
                stored = self._post(draft, key)
                row = {"id": stored.id, **({} if names is None else {"file": names[number - 1]})}
                rows.append((row, {**row, **_document(stored)}))
                bar.update(number)
                if number < len(drafts):
                    time.sleep(self._pause)
        columns = ("id",) if names is None else ("id", "file")
        if self._output.form == "json" and names is None:
            self._output.document(rows[0][1])
        elif self._output.tables and names is None and self._output.columns is None:
            self._output.line(rows[0][0]["id"])
        else:
            self._output.rows(columns, rows)
        return 0

    def _post(self, draft: Draft, key: str) -> Stored:
        try:
            return self._queue.post(draft, idempotency_key=key)
        except NotPromised as error:
            if self._key is not None or error.applied != "no":
                raise
            # A queue that is at-most-once takes no keys.
            return self._queue.post(draft, idempotency_key="")
        except (QueueyError, KeyboardInterrupt) as error:
            if isinstance(error, KeyboardInterrupt) or error.retryable or error.applied == "unknown":
                self._say_how_to_repeat()
            raise

    def batch(self, messages: Iterable[Numbered]) -> int:
        """Store all messages, or none."""
        drafts = []
        for number, draft, why in messages:
            if draft is None:
                raise Failure(f"line {number}: {why}", "nothing was stored")
            if draft.idempotency_key is not None:
                raise Failure(
                    f"line {number}: the messages of a batch share one Idempotency-Key: use --idempotency-key"
                )
            drafts.append(draft)
            if len(drafts) > MAX_BATCH:
                raise Failure(f"a batch has at most {MAX_BATCH} messages; nothing was stored")
        if not drafts:
            return 0
        try:
            stored = self._queue.post_all(drafts, idempotency_key=self._key)
        except NotPromised as error:
            if self._key is not None or error.applied != "no":
                raise
            stored = self._queue.post_all(drafts, idempotency_key="")
        document = _document(stored)
        if self._output.form == "json":
            self._output.document(document)
        else:
            self._output.rows(("id",), [({"id": id}, {**document, "id": id}) for id in stored.ids])
        return 0

    def stream(self, messages: Iterable[Numbered], total: int | None = None) -> int:
        """Store messages as they come, many with each request, and print how many."""
        keys = self._takes_keys()
        stored = 0
        writer = self._queue.writer(on_error=self._on_error, linger=self._settings.linger)
        try:
            with writer, Progress(self._progress, f"post to {self._queue.name}", total) as bar:
                for number, draft, why in messages:
                    if draft is None:
                        self._bad += 1
                        self._complain(f"line {number}: {why}")
                        self._last = failures.WRONG_ARGUMENTS
                    else:
                        if draft.idempotency_key is None:
                            draft.idempotency_key = f"{self._base}-{number}" if keys else ""
                        writer.post(draft)
                    bar.update(writer.stored)
                    if self._pause:
                        time.sleep(self._pause)
        except BaseException:
            self._settings.last_words.append(_stored(writer.stored))
            if keys:
                self._say_how_to_repeat()
            raise
        stored, failed = writer.stored, self._refused + self._bad
        if self._output.form == "json":
            self._output.document({"stored": stored, "failed": failed, "idempotency_key": self._base if keys else None})
        if failed:
            complain(f"{failed} of {counted(stored + failed, 'message')} {'was' if failed == 1 else 'were'} refused")
            return failures.PARTLY if stored else self._last
        self._settings.say(_stored(stored))
        return 0

    def _takes_keys(self) -> bool:
        try:
            return self._key is not None or self._queue.info().guarantee != "at-most-once"
        except NotAllowed as error:
            if error.status == 403:
                # It may only be allowed to write.
                return True
            raise

    def _on_error(self, draft: Draft, error: QueueyError) -> None:
        if error.retryable or error.applied == "unknown" or isinstance(error, NotAllowed) or error.status == 404:
            # What comes would fail as well.
            raise error
        self._refused += 1
        self._last = failures.status_of(error)
        number = (draft.idempotency_key or "").rpartition("-")[2]
        place = f"message {number}: " if number.isdigit() else ""
        self._complain(f"{place}{'; '.join(failures.lines_of(error)[:3])}")

    def _complain(self, text: str) -> None:
        if self._bad + self._refused <= failures.MAX_LINES:
            complain(text)

    def _say_how_to_repeat(self) -> None:
        self._settings.last_words.append(
            f"to store what is missing, and nothing twice, repeat it with --idempotency-key {self._base}"
        )


def _stored(number: int) -> str:
    return f"{counted(number, 'message was', 'messages were')} stored"


def _document(stored: Stored) -> dict[str, Any]:
    return {
        "messages": [{"id": id} for id in stored.ids],
        "stored": {"consistency": stored.consistency, "durable": stored.durable},
        "duplicate": stored.duplicate,
        "idempotency_key": stored.key,
    }
