"""Random settings files: each gives settings or a list of mistakes, and no shown text contains a key."""

from __future__ import annotations

import hashlib
import string

import attrs
from hypothesis import given
from hypothesis import strategies as st

from queuey.config import Settings, keys
from queuey.errors import ConfigurationError
from tests.config.support import SettingsTestCase

SECTIONS = st.sampled_from(
    ["server", "storage", "metadata", "application_keys", "application:a", "logging", "server:main", "app:x", "global"]
)
NAMES = st.sampled_from([*{key.name for key in keys.TABLE}, "host", "port", "use", "a", "b"])
VALUES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["tcp:80", "ssl:1:privateKey=/dev/null", "systemd:domain=INET:name=x", "unix:\\", "memory", "sqlite"]
    ),
    st.sampled_from(
        ["cassandra", "12", "1MiB", "*", "queuey.storage.memory.MemoryQueueBackend", "::1/128", "weak", "sha256:"]
    ),
    st.just("sha256:" + "0" * 64),
    st.text("tcpunixsl6:=\\0123456789./*-", max_size=30),
)
LINES = st.one_of(
    st.builds("[{}]".format, SECTIONS),
    st.builds("{} = {}".format, NAMES, VALUES),
    st.builds("  {}".format, VALUES),
    st.text(max_size=40),
)
FILES = st.lists(LINES, max_size=25).map("\n".join)

# They begin with what nothing else that is shown has, lest a key be found that is a word of the settings.
SECRET = st.text(string.ascii_letters + string.digits + "%$=[]#!-", min_size=8, max_size=40).map("~K~{}".format)
SIZES = st.integers(1 << 20, 256 << 20)
APPLICATION = st.fixed_dictionaries(
    {
        "ttl": st.integers(1, 1 << 25),
        "consistency": st.sampled_from(["weak", "strong", "very_strong"]),
        "cors_origins": st.sampled_from(["", "*", "https://a.example, http://b:81"]),
        "max_queues": st.one_of(st.just(""), st.integers(1, 1000)),
        "max_bytes": st.one_of(st.just(""), SIZES),
        "max_body": st.one_of(st.just(""), st.integers(1, 1 << 20)),
    }
)
SERVER = st.fixed_dictionaries(
    {
        "http": st.sampled_from(["", "tcp:80", "tcp:80\n  unix:/run/q\n  tcp6:81:interface=\\:\\:1"]),
        "max_body": SIZES,
        "header_timeout": st.integers(100, 1_000_000).map(lambda number: number / 1000),
        "stop_timeout": st.integers(0, 3600),
        "drain_pause": st.integers(0, 3600),
        "workers": st.integers(1, 64),
        "disk_floor": SIZES,
        "forwarded": st.sampled_from(["", "::1", "10.0.0.0/8 192.0.2.7"]),
    }
)
STORAGE = st.one_of(
    st.fixed_dictionaries({"backend": st.just("memory"), "max_bytes": SIZES}),
    st.fixed_dictionaries({"path": st.sampled_from(["", "a b", "/x/%(y)s"]), "cache": SIZES}),
)


def section(name: str, values: dict[str, object]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())


class FuzzTests(SettingsTestCase):
    def attempt(self, content: str | bytes) -> None:
        try:
            settings = self.load(content)
        except ConfigurationError as error:
            self.assertTrue(error.problems)
            for line in error.problems:
                self.assertTrue(line.isprintable(), line)
        else:
            self.assertIsInstance(settings, Settings)

    @given(FILES)
    def test_files_that_are_nearly_right(self, text: str) -> None:
        self.attempt(text.encode("utf-8", "replace"))

    @given(st.binary(max_size=200))
    def test_anything(self, data: bytes) -> None:
        self.attempt(data)


class SecretTests(SettingsTestCase):
    @given(SECRET, SECRET)
    def test_no_key_is_shown(self, one: str, two: str) -> None:
        for text in (
            f"[application_keys]\na = {one}\n[application:b]\nkeys =\n  {two}\n",
            # Mistakes beside a key, or of the key itself, must not tell it either.
            f"[application_keys]\na = {one};{two}\n",
            f"[application_keys]\na = {one}\nb = {one}\n",
            f"[application:a]\nkeys = sha256:{one}\n  {two} {one}\n",
            f"[storage]\npassword = {one}\n[application_keys]\na = {two}\n  {two}\n",
        ):
            try:
                settings = self.load(text)
            except ConfigurationError as error:
                shown = "\n".join(error.problems)
            else:
                shown = "\n".join([repr(settings), *settings.warnings, *settings.describe()])
            self.assertNotIn(one, shown)
            self.assertNotIn(two, shown)


class RoundTripTests(SettingsTestCase):
    @given(
        SERVER,
        STORAGE,
        st.dictionaries(st.sampled_from("abc"), APPLICATION),
        st.dictionaries(SECRET, st.sampled_from("abc")),
    )
    def test_what_is_shown_is_what_is_in_force(
        self,
        server: dict[str, object],
        storage: dict[str, object],
        applications: dict[str, dict[str, object]],
        secrets: dict[str, str],
    ) -> None:
        text = section("server", server) + section("storage", storage)
        for name, values in applications.items():
            text += section(f"application:{name}", values)
        owned: dict[str, list[str]] = {}
        for key, name in secrets.items():
            owned.setdefault(name, []).append(f"sha256:{hashlib.sha256(key.encode()).hexdigest()}")
        text += section(
            "application_keys", {name: "".join(f"\n  {one}" for one in ones) for name, ones in owned.items()}
        )
        settings = self.load(text)
        again = self.load("\n".join(settings.describe()))
        self.assertEqual(attrs.evolve(again, warnings=settings.warnings), settings)
