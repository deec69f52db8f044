"""Endpoint descriptions: what is accepted is what Twisted reads, and the exact line of every mistake."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
    serverFromString,
)
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from twisted.python.reflect import requireModule
from twisted.trial.unittest import SynchronousTestCase

from queuey.config.kinds.endpoints import endpoint, endpoints, tcp
from queuey.config.mistakes import Mistake

BASE = Path("/base")


class AcceptedTests(SynchronousTestCase):
    def test_as_it_was_or_with_absolute_paths(self) -> None:
        for text, expected in (
            ("tcp:5000", "tcp:5000"),
            ("tcp:port=5000", "tcp:5000"),
            ("tcp:0:interface=127.0.0.1:backlog=10", "tcp:0:interface=127.0.0.1:backlog=10"),
            ("tcp:80:interface=localhost", "tcp:80:interface=127.0.0.1"),
            ("tcp:80:interface=", "tcp:80:interface="),
            ("tcp6:5000:interface=\\:\\:1", "tcp6:5000:interface=\\:\\:1"),
            ("unix:q.sock", "unix:/base/q.sock"),
            ("unix:/run/q\\:x:mode=660:lockfile=0", "unix:/run/q\\:x:mode=660:lockfile=0"),
            ("unix:/run/q\\=\\:x", "unix:/run/q\\=\\:x"),
            ("unix:address=q", "unix:/base/q"),
            ("systemd:domain=INET6:index=0", "systemd:domain=INET6:index=0"),
            ("systemd:name=a=b:domain=UNIX", "systemd:name=a=b:domain=UNIX"),
        ):
            self.assertEqual(endpoint(text, BASE), expected)
            self.assertEqual(endpoint(expected, BASE), expected)

    def test_twisted_reads_it(self) -> None:
        for text, kind in (
            ("tcp:5000:interface=127.0.0.1:backlog=9", TCP4ServerEndpoint),
            ("tcp6:5000:interface=\\:\\:1", TCP6ServerEndpoint),
            ("unix:q.sock:mode=660:lockfile=0:backlog=5", UNIXServerEndpoint),
        ):
            self.assertIsInstance(serverFromString(MemoryReactor(), endpoint(text, BASE)), kind)

    def test_several(self) -> None:
        self.assertEqual(endpoints("tcp:1\ntcp:2", BASE), ("tcp:1", "tcp:2"))

    @given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20))
    def test_any_path_arrives_at_twisted(self, name: str) -> None:
        quoted = name.replace("\\", "\\\\").replace(":", "\\:").replace("=", "\\=")
        reactor = MemoryReactor()
        found = serverFromString(reactor, endpoint(f"unix:{quoted}:mode=600", BASE))
        found.listen(Factory())
        self.assertEqual(reactor.unixServers[0][0], os.path.normpath(os.path.join("/base", name)))

    def test_host_and_port(self) -> None:
        self.assertEqual(tcp("5000", "0.0.0.0"), "tcp:5000:interface=0.0.0.0")
        self.assertEqual(tcp("5000", "::"), "tcp6:5000:interface=\\:\\:")
        self.assertEqual(tcp("5000", "localhost"), "tcp:5000:interface=127.0.0.1")


class MistakeTests(SynchronousTestCase):
    def test_each_with_its_text(self) -> None:
        for text, what, meant in (
            ("", "'' is not a kind of endpoint", ""),
            ("5000", "'5000' is not a kind of endpoint", "tcp:5000:interface=127.0.0.1"),
            (":5000", "'' is not a kind of endpoint", "tcp:5000:interface=127.0.0.1"),
            ("localhost:5000", "'localhost' is not a kind of endpoint", "tcp:5000:interface=127.0.0.1"),
            ("127.0.0.1:80", "'127.0.0.1' is not a kind of endpoint", "tcp:80:interface=127.0.0.1"),
            ("70000", "'70000' is not a kind of endpoint", ""),
            ("tpc:5000", "'tpc' is not a kind of endpoint", "tcp"),
            ("tls:dir:443", "'tls' is not a kind of endpoint", "ssl"),
            ("a=b:5000", "'a=b:5000' does not begin with a kind of endpoint", ""),
            ("tcp", "'tcp' names no port", ""),
            ("tcp:", "'' is no port: 0 to 65535", ""),
            ("tcp:65536", "'65536' is no port: 0 to 65535", ""),
            ("tcp:-1", "'-1' is no port: 0 to 65535", ""),
            ("tcp:80:127.0.0.1", "'127.0.0.1' has no name; arguments are written name=value", ""),
            ("tcp:80:port=81", "the port of the endpoint is named twice", ""),
            (
                "tcp:80:interface=127.0.0.1:interface=127.0.0.2",
                "'tcp:80:interface=127.0.0.1:interface=127.0.0.2' names 'interface' twice",
                "",
            ),
            (
                "tcp:80:intrface=127.0.0.1",
                "'tcp:80:intrface=127.0.0.1': 'intrface' is not an argument of tcp, which has port, interface, backlog",
                "interface",
            ),
            ("tcp:80:interface=example.org", "'example.org' is not the IP address of an interface", ""),
            ("tcp:80:interface=\\:\\:1", "'::1' is no IPv4 address", "tcp6"),
            ("tcp6:80:interface=127.0.0.1", "'127.0.0.1' is no IPv6 address", "tcp"),
            ("tcp:80:interface=::1", "'1' has no name; arguments are written name=value", ""),
            ("tcp:80:backlog=0", "'0' is no backlog: 1 to 65535", ""),
            ("tcp:80\\", "'tcp:80\\\\' ends with a backslash without a character to escape", ""),
            ("unix", "'unix' names no address", ""),
            ("unix:", "/base is not a path of a socket: 1 to 107 bytes", ""),
            (f"unix:/{'x' * 107}", f"/{'x' * 107} is not a path of a socket: 1 to 107 bytes", ""),
            ("unix:x:mode=999", "'999' is not a mode of a file, such as 660", ""),
            ("unix:x:lockfile=yes", "'yes' is none of 0, 1", ""),
            ("systemd:domain=INET", "'systemd:domain=INET' needs domain, and one of name and index", ""),
            ("systemd:name=x", "'systemd:name=x' needs domain, and one of name and index", ""),
            (
                "systemd:domain=INET:name=x:index=0",
                "'systemd:domain=INET:name=x:index=0' needs domain, and one of name and index",
                "",
            ),
            ("systemd:domain=inet:name=x", "'inet' is none of INET, INET6, UNIX", "INET"),
            ("systemd:domain=INET:name=", "the name of a systemd socket is empty", ""),
            ("systemd:INET:name=x", "'INET' has no name; arguments are written name=value", ""),
            ("ssl:443", "'ssl:443' names no privateKey", ""),
            ("ssl:443:privateKey=k.pem", "/base/k.pem cannot be read: No such file or directory", ""),
            ("ssl:443:privateKey=/dev", "/dev is no file", ""),
            ("ssl:443:privateKey=/dev/zero", "/dev/zero is no file", ""),
        ):
            mistake = self.assertRaises(Mistake, endpoint, text, BASE)
            self.assertEqual((mistake.what, mistake.meant), (what, meant), text)

    def test_all_of_several(self) -> None:
        group = self.assertRaises(ExceptionGroup, endpoints, "tcp:1\ntcp:x\nwhat:2", BASE)
        self.assertEqual(len(group.exceptions), 2)

    def test_twice(self) -> None:
        mistake = self.assertRaises(Mistake, endpoints, "tcp:1\ntcp:port=1", BASE)
        self.assertEqual(mistake.what, "'tcp:1' stands twice")


def pem(folder: Path, name: str, passphrase: bytes | None = None, rsa_bits: int = 0) -> tuple[Path, Path]:
    """A key and a certificate for it, in files; the key is of an elliptic curve unless it has bits of RSA."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key = rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    begin = datetime.datetime(2020, 1, 1)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, begin, begin.replace(year=2120))
    protection = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    paths = folder / f"{name}.key", folder / f"{name}.crt"
    paths[0].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection))
    paths[1].write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return paths


class CertificateTests(SynchronousTestCase):
    if requireModule("OpenSSL") is None:
        skip = "pyOpenSSL is not installed"

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.key, self.certificate = pem(self.folder, "a")

    def wrong(self, arguments: str) -> str:
        mistake: Mistake = self.assertRaises(Mistake, endpoint, f"ssl:443:{arguments}", self.folder)
        return mistake.what

    def test_accepted(self) -> None:
        both = self.folder / "both.pem"
        both.write_bytes(self.key.read_bytes() + self.certificate.read_bytes())
        for arguments in (
            "privateKey=a.key:certKey=a.crt",
            "privateKey=both.pem",
            "privateKey=both.pem:extraCertChain=a.crt",
        ):
            found = endpoint(f"ssl:443:{arguments}", self.folder)
            self.assertIn(f"privateKey={self.folder}/", found)
            self.assertIsInstance(serverFromString(MemoryReactor(), found), SSL4ServerEndpoint)

    def test_not_pem(self) -> None:
        (self.folder / "empty").write_bytes(b"")
        (self.folder / "junk").write_bytes(b"junk")
        for name in ("empty", "junk", "a.key", "a.crt"):
            path = self.folder / name
            self.assertEqual(
                self.wrong(f"privateKey={name}"), f"{path} and {path} are not a key and its certificate in PEM"
            )

    def test_key_of_another_certificate(self) -> None:
        _, other = pem(self.folder, "b")
        self.assertEqual(
            self.wrong("privateKey=a.key:certKey=b.crt"),
            f"{self.key} and {other} are not a key and its certificate in PEM",
        )

    def test_a_key_that_is_too_small(self) -> None:
        key, certificate = pem(self.folder, "small", rsa_bits=1024)
        self.assertEqual(
            self.wrong("privateKey=small.key:certKey=small.crt"),
            f"{key} and {certificate} are refused by OpenSSL: ee key too small",
        )

    def test_nobody_is_asked_for_a_passphrase(self) -> None:
        key, _ = pem(self.folder, "c", b"secret")
        self.assertEqual(
            self.wrong("privateKey=c.key:certKey=c.crt"),
            f"{key} is encrypted, and a daemon has no terminal to type its passphrase",
        )

    def test_chain_and_parameters(self) -> None:
        begin = "privateKey=a.key:certKey=a.crt"
        self.assertEqual(self.wrong(f"{begin}:extraCertChain=a.key"), f"{self.key} has no certificates in PEM")
        self.assertEqual(
            self.wrong(f"{begin}:dhParameters=a.key"), f"{self.key} has no Diffie-Hellman parameters in PEM"
        )
