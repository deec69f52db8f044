"""Messages as they are printed: rows, JSON, their bodies alone, or files."""

from __future__ import annotations

import mimetypes
import os
import re
import shutil
from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from queuey_client.cli.display.output import Output, cell, value_of
from queuey_client.core.parsing import NO_TIME
from queuey_client.core.values import Delivery, Message

COLUMNS = ("id", "timestamp", "content_type", "body")
SUFFIXES = {"application/octet-stream": ".bin", "text/plain": ".txt", "application/json": ".json"}
LEAST_BODY = 20
"""Characters of a body that a terminal shows at the least."""


def document_of(message: Message) -> dict[str, Any]:
    """Return a message as the API shows it, with the name of its queue."""
    found: dict[str, Any] = {
        "id": message.id,
        "queue": message.queue,
        "partition": message.partition,
        "timestamp": _exact(message.id, message.timestamp),
        "expires": time_text(message.expires),
        "content_type": message.content_type,
        "headers": dict(message.headers),
    }
    try:
        found["body"] = message.body.decode()
    except UnicodeDecodeError:
        found["body_base64"] = b64encode(message.body).decode()
    if message.etag is not None:
        found["etag"] = message.etag
    if isinstance(message, Delivery):
        found.update(group=message.group, receipt=message.receipt, deliveries=message.deliveries, lease=message.lease)
        found["lease_until"] = None if message.lease_until is None else time_text(message.lease_until)
    return found


def time_text(time: datetime) -> str | None:
    """Write a time as the API does."""
    if time == NO_TIME:
        return None
    text = time.astimezone(timezone.utc).isoformat().replace("+00:00", "")
    return (text.rstrip("0") if "." in text else text) + "Z"


def _exact(id: str, time: datetime) -> str | None:
    """Write the time of a message with the seven decimals that its id has: ``datetime`` has six."""
    text = time_text(time)
    digits = id.partition("-")[0]
    if text is None or len(digits) != 32 or digits[12] != "6":
        return text
    try:
        ticks = (int(digits[:12], 16) << 12 | int(digits[13:16], 16)) - _EPOCH
    except ValueError:
        return text
    seconds, rest = divmod(ticks, 10_000_000)
    exact = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S") if 0 <= seconds < 2**33 else ""
    return f"{exact}.{rest:07d}Z" if f"{exact}.{rest:07d}".startswith(text.rstrip("Z")) else text


_EPOCH = 0x01B21DD213814000
"""1970 in steps of 100 ns since 1582, as ids of version 6 count."""


class Printer:
    """Prints messages one after another, as they come.

    :param end: what stands behind each body with ``raw``.
    :param folder: gets a file for each message, instead of standard output.
    """

    def __init__(
        self,
        output: Output,
        raw: bool = False,
        end: bytes = b"\n",
        folder: Path | None = None,
        columns: tuple[str, ...] = COLUMNS,
    ) -> None:
        self._output = output
        self._raw = raw
        self._end = end
        self._folder = folder
        self._columns = columns
        self.count = 0
        self._checked = False
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Begin a document of JSON."""
        if self._json:
            self._output.write(b"[")

    def finish(self) -> None:
        """End it."""
        if self._json:
            self._output.write(b"\n]\n" if self.count else b"]\n")
        self._output.flush()

    def all(self, messages: Iterable[Message]) -> int:
        """Print messages. :return: how many."""
        self.start()
        for message in messages:
            self.one(message)
        self.finish()
        return self.count

    def one(self, message: Message) -> None:
        """Print a message."""
        if self._folder is not None:
            self._output.line(str(self._file(self._folder, message)))
        elif self._raw:
            self._output.write(message.body + self._end)
        elif self._json:
            import json

            self._output.write(b",\n" if self.count else b"\n")
            self._output.write(json.dumps(document_of(message), ensure_ascii=False).encode("utf-8", "backslashreplace"))
        elif not self._output.tables:
            self._output.document(document_of(message))
        else:
            self._row(message)
        self.count += 1

    @property
    def _json(self) -> bool:
        return self._output.form == "json" and not self._raw and self._folder is None

    def _row(self, message: Message) -> None:
        document = document_of(message)
        row = {"body": message.body.decode("utf-8", "surrogateescape"), "key": message.key}
        if not self._checked:
            self._columns = tuple(self._output.chosen(self._columns, [(row, document)]))
            self._checked = True
        cells = [cell(value_of((row, document), name)) for name in self._columns]
        if not self._output.terminal:
            self._output.line("\t".join(cells))
            return
        # As aligned as lines can be that are printed before the next one is known.
        if self._columns[-1] == "body":
            room = max(LEAST_BODY, shutil.get_terminal_size().columns - sum(len(each) + 2 for each in cells[:-1]))
            cells[-1] = cells[-1] if len(cells[-1]) <= room else f"{cells[-1][: room - 1]}…"
        if self._output.colour:
            cells[0] = f"\x1b[2m{cells[0]}\x1b[0m"
        self._output.line("  ".join(cells))

    def _file(self, folder: Path, message: Message) -> Path:
        kind = message.content_type.split(";")[0].strip().lower()
        suffix = SUFFIXES.get(kind) or mimetypes.guess_extension(kind) or ".bin"
        name = re.sub(r"[^0-9A-Za-z_-]", "_", message.id)
        path = folder / f"{name}{suffix}"
        part = folder / f".{name}.part"
        part.write_bytes(message.body)
        os.replace(part, path)
        return path
