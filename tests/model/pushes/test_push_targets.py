"""Which URLs and addresses a push may call: sixty hostile URLs, and good ones."""

from __future__ import annotations

import ipaddress
from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from queuey.model.pushes.addresses import is_public, may_connect
from queuey.model.pushes.targets import BadURL, Target, host_problem, is_named, parse_url, target_problem

HOSTILE: Final = (
    # Addresses of the machine and of private networks, as they are.
    "http://127.0.0.1/",
    "http://127.1.2.3/",
    "http://0.0.0.0/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://168.63.129.16/machine",
    "http://100.64.0.1/",
    "http://100.100.100.200/latest/meta-data/",
    "http://198.18.0.1/",
    "http://192.0.0.192/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://240.0.0.1/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::a00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:0:0:0:0:7f00:1]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    # The same in forms that some parsers take.
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://017700000001/",
    "http://127.0.0.1./",
    "http://%31%32%37.0.0.1/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://\u24db\u24deca\u24dbhost/",
    "http://[::1%25lo]/",
    "http://[fe80::1%eth0]/",
    "http://127.0.0.1\\@example.com/",
    "http://example.com@127.0.0.1/",
    "http://user:secret@example.com/",
    "http://example.com#@127.0.0.1/",
    "http://example.com\t.evil/",
    "http://exam\nple.com/",
    "http://example.com/\r\nX-Injected: 1",
    " http://127.0.0.1/",
    "http:///127.0.0.1/",
    "http:/127.0.0.1/",
    "http:127.0.0.1",
    "//127.0.0.1/",
    "HTTP://127.0.0.1/",
    # Other schemes and ports.
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "ftp://example.com/",
    "unix:///var/run/docker.sock",
    "http://example.com:22/",
    "http://example.com:6379/",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:/",
    # Names that are not a whole host.
    "http://.example.com/",
    "http://example..com/",
    "http://-a.example.com/",
    "http://" + "a" * 64 + ".com/",
    "http://",
    "",
)


def refused(url: str, networks: tuple[ipaddress.IPv4Network, ...] = ()) -> bool:
    """Whether a URL cannot be called by an application that may call every public host."""
    try:
        target = parse_url(url)
    except BadURL:
        return True
    if target_problem(target, ("*",), ()) is not None:
        return True
    try:
        return not may_connect(ipaddress.ip_address(target.host), networks)
    except ValueError:
        return False


class HostileTests(SynchronousTestCase):
    def test_refused(self) -> None:
        """None of them is ever called."""
        self.assertGreaterEqual(len(HOSTILE), 60)
        self.assertEqual([url for url in HOSTILE if not refused(url)], [])

    def test_allowed(self) -> None:
        for url in ("https://example.com/hook", "http://93.184.216.34/", "https://[2606:4700::1111]:443/?a=%20b"):
            self.assertFalse(refused(url), url)


class ParseTests(SynchronousTestCase):
    def test_parts(self) -> None:
        """A URL is taken apart, and put together again in one form."""
        for text, target, url in (
            ("https://Example.COM", Target("https", "example.com", 443, "/"), "https://example.com/"),
            ("http://a.b:8080?x=1", Target("http", "a.b", 8080, "/?x=1"), "http://a.b:8080/?x=1"),
            ("http://[2606:4700::0:1]/a", Target("http", "2606:4700::1", 80, "/a"), "http://[2606:4700::1]/a"),
        ):
            self.assertEqual(parse_url(text), target)
            self.assertEqual(target.url, url)
            self.assertEqual(parse_url(url), target)

    @given(st.text(alphabet="htps:/[]@.#?%\\a1-0x7f\n ", max_size=40))
    def test_any_text(self, text: str) -> None:
        """Any text is refused, or is a URL that means the same when it is parsed again."""
        try:
            target = parse_url(f"http://{text}")
        except BadURL:
            return
        self.assertEqual(parse_url(target.url), target)
        self.assertTrue(target.rest.startswith("/"))

    def test_hosts(self) -> None:
        """An entry of push_hosts stands for itself and the names below it."""
        hosts = ("example.com", "10.0.0.7", "*")
        for host, named in (
            ("example.com", True),
            ("a.b.example.com", True),
            ("badexample.com", False),
            ("example.com.evil", False),
            ("10.0.0.7", True),
            ("110.0.0.7", False),
        ):
            self.assertIs(is_named(host, hosts), named, host)
        for entry in ("example.com", "*", "10.0.0.7", "::1", "2001:db8::7"):
            self.assertIsNone(host_problem(entry), entry)
        for entry in ("Example.com", "*.example.com", ".example.com", "127.1", "a b", "", "http://a", "a:80", "0::1"):
            self.assertIsNotNone(host_problem(entry), entry)

    def test_not_named(self) -> None:
        target = parse_url("https://other.com/")
        self.assertIsNotNone(target_problem(target, ("example.com",), ()))
        self.assertIsNotNone(target_problem(target, (), ()))
        self.assertIsNone(target_problem(parse_url("http://example.com:8080/"), ("example.com",), (8080,)))


class AddressTests(SynchronousTestCase):
    def test_networks(self) -> None:
        """The operator can allow a network; one of IPv4 does not allow its mapped addresses."""
        networks = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
        for text, allowed in (("127.0.0.1", True), ("fd00::1", True), ("10.0.0.1", False), ("::ffff:127.0.0.1", False)):
            self.assertIs(may_connect(ipaddress.ip_address(text), networks), allowed, text)
        self.assertFalse(may_connect(ipaddress.ip_address("fd00::1%eth0"), networks))

    @given(st.ip_addresses(v=4))
    def test_at_most_what_python_allows(self, address: ipaddress.IPv4Address) -> None:
        """No address is public that Python's registry of special addresses does not call global."""
        self.assertFalse(is_public(address) and (not address.is_global or address.is_multicast), address)

    @given(st.ip_addresses(v=6))
    def test_the_same_for_ipv6(self, address: ipaddress.IPv6Address) -> None:
        self.assertFalse(is_public(address) and (not address.is_global or address.is_multicast), address)
