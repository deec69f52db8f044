"""An endpoint for pushes, which does as little as it can: it answers 204 to whatever is posted.

    python -m bench.endpoint PORT

``/slow`` is answered after a second. ``GET /`` gives when the last other request came, in seconds since 1970.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

PAUSE: Final = 1.0
"""Seconds until a slow answer."""

TAKEN: Final = b"HTTP/1.1 204 No Content\r\n\r\n"


class Endpoint(asyncio.Protocol):
    """One connection; requests come one after another, with a Content-Length."""

    last = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._came = b""

    def data_received(self, data: bytes) -> None:
        """Answer each request that is there as a whole."""
        self._came += data
        while (end := self._came.find(b"\r\n\r\n")) >= 0:
            head = self._came[:end].lower()
            _, _, length = head.partition(b"\r\ncontent-length:")
            whole = end + 4 + int(length.partition(b"\r\n")[0] or 0)
            if len(self._came) < whole:
                return
            self._came = self._came[whole:]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        if head.startswith(b"get "):
            said = b"%.6f" % Endpoint.last
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))
            return
        Endpoint.last = time.time()
        if head.startswith(b"post /slow"):
            asyncio.get_running_loop().call_later(PAUSE, self._transport.write, TAKEN)
        else:
            self._transport.write(TAKEN)


async def main(port: int) -> None:
    """Serve until the process ends."""
    server = await asyncio.get_running_loop().create_server(Endpoint, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
