"""Chunks that are there as a whole are taken quickly, and mean what they mean read line by line."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from queuey.http.bodies.body import ChunkedBody

PIECES = (
    b"1\r\na\r\n", b"2\r\n\r\n\r\n", b"3;a=b\r\nabc\r\n", b"0a\r\n0123456789\r\n", b"A\r\n0123456789\r\n",
    b"00001\r\na\r\n", b"1\ra\r\n", b"1\r\na\n", b"g\r\n", b"0x1\r\na\r\n", b"+1\r\na\r\n", b"1_0\r\n",
    b" 1\r\na\r\n", b"1 \r\na\r\n",
    b"ffffffffffffffff\r\n", b"0ffffffffffffffff\r\n", b"0\r\n\r\n", b"0\r\nx: y\r\n\r\n", b"3\r\nab", b"\r\n",
)  # fmt: skip


def read(pieces: list[bytes], limit: int) -> tuple[bytes, int, bool, object, bytes]:
    """What becomes of a body that comes in pieces."""
    body = ChunkedBody()
    body.limit = limit
    found = b""
    for at, piece in enumerate(pieces):
        found += body.feed(piece)
        if body.done or body.error:
            return found, body.declared, body.done, body.error, body.rest + b"".join(pieces[at + 1 :])
    return found, body.declared, body.done, body.error, body.rest


class ChunkTests(SynchronousTestCase):
    """However a body is cut."""

    def test_as_byte_by_byte(self) -> None:
        """Where no chunk is there as a whole, each is read line by line."""
        random = Random(3)
        for _ in range(3000):
            good = random.choices(PIECES[:6], k=random.randrange(4))
            data = b"".join([*good, *random.choices(PIECES, k=random.randrange(3)), b"0\r\n\r\nrest"])
            at = random.randrange(len(data))
            slowly = read([data[at : at + 1] for at in range(len(data))], 25)
            for pieces in ([data], [data[:at], data[at:]]):
                found = read(pieces, 25)
                self.assertEqual(found[2:4], slowly[2:4], (data, pieces))
                if slowly[3] is None:  # what comes behind an error is not looked at
                    self.assertEqual(found, slowly, (data, pieces))
