"""The files of the page, out of the installed package, in memory under the names that browsers ask for.

The files are below ``/assets/HASH/``, where the hash is that of all of them. So their own references to each other stay
as they are written, a browser may keep each of them for ever, and a page never mixes files of two versions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import attrs

_PAGE: Final = "index.html"
_ASSETS: Final = b"{assets}"
"""The placeholder in the page for the path of the other files."""

_KINDS: Final = {
    "css": b"text/css; charset=utf-8",
    "html": b"text/html; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}


@attrs.frozen
class StaticFile:
    """A file as it is sent.

    :ivar caching: the value of ``Cache-Control``.
    """

    kind: bytes
    caching: bytes
    body: bytes = attrs.field(repr=False)


def load_files() -> Mapping[bytes, StaticFile]:
    """Return the files of the page by their paths; ``/`` is the page itself."""
    found = dict(sorted(_found(files("queuey") / "dashboard", "")))
    page = found.pop(_PAGE)
    digest = sha256(b"".join([b"%b\0%d\0%b" % (n.encode(), len(body), body) for n, body in found.items()])).hexdigest()
    assets = f"/assets/{digest[:16]}"
    loaded = {
        f"{assets}/{name}".encode(): StaticFile(_kind(name), b"public, max-age=31536000, immutable", body)
        for name, body in found.items()
    }
    loaded[b"/"] = StaticFile(_kind(_PAGE), b"no-cache", page.replace(_ASSETS, assets.encode()))
    return loaded


def _found(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for one in folder.iterdir():
        if one.is_dir():
            yield from _found(one, f"{prefix}{one.name}/")
        elif one.name.rpartition(".")[2] in _KINDS:
            yield f"{prefix}{one.name}", one.read_bytes()


def _kind(name: str) -> bytes:
    return _KINDS[name.rpartition(".")[2]]
