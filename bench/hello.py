"""What Queuey is held against: a bare Klein app that reads the body and says hello, or gives a body of some size.

python -m bench.hello PORT [ACCESS_LOG]
"""

from __future__ import annotations

import sys
from functools import lru_cache

from klein import Klein
from twisted.internet import reactor  # noqa: TID251 - a program of its own
from twisted.web.iweb import IRequest
from twisted.web.server import Site

app = Klein()


@app.route("/", methods=["POST"])
def hello(request: IRequest) -> bytes:
    """Read the whole body and answer a few bytes."""
    request.content.read()
    return b"hello"


@app.route("/<int:size>", methods=["GET"])
def body(request: IRequest, size: int) -> bytes:
    """Answer that many bytes, always the same."""
    return _bytes(size)


@lru_cache
def _bytes(size: int) -> bytes:
    return b"x" * size


if __name__ == "__main__":
    log = sys.argv[2] if len(sys.argv) > 2 else None
    site = Site(app.resource(), logPath=log)
    if log is None:
        site.log = lambda request: None  # type: ignore[method-assign]
    reactor.listenTCP(int(sys.argv[1]), site, interface="127.0.0.1")  # type: ignore[arg-type]
    reactor.run()
