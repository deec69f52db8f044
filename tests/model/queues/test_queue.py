"""Names and principals."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.queues.queue import MAX_PRINCIPAL, is_principal, name_problem


class NameTests(SynchronousTestCase):
    """What may be the name of a queue."""

    def test_good(self) -> None:
        """Any Unicode, up to eighty characters and 200 bytes."""
        for name in (
            "q",
            "a b",
            "Größe",
            "\N{PILE OF POO}" * 50,
            "x" * 80,
            "...",
            "%2F",
            "x?y#z",
            "\u00a0",
            "a.b-c_d~e",
        ):
            self.assertIsNone(name_problem(name), name)

    def test_bad(self) -> None:
        """Too short, too long, or with a character that a URL or a list takes for something else."""
        for name in (
            "",
            "x" * 81,
            "\N{PILE OF POO}" * 51,
            "a/b",
            "a,b",
            "a:b",
            "a\nb",
            "\0",
            "\x7f",
            "\x85",
            ".",
            "..",
            "\ud800",
        ):
            self.assertIsNotNone(name_problem(name), repr(name))


class PrincipalTests(SynchronousTestCase):
    """What may be a principal."""

    def test_good(self) -> None:
        """Applications and e-mail addresses, with dots, plus signs, hyphens and hosts of many labels."""
        for text in ("app:queuey", "app:my-app.2", "bid:a@b.org", "bid:first.last+tag@mail-1.example.co.uk"):
            self.assertTrue(is_principal(text), text)

    def test_subjects(self) -> None:
        """Subjects of issuers: a URL of visible ASCII, the first number sign, and what the issuer calls the user."""
        for text in ("sub:https://id.example.org#248289", "sub:https://a.example/realms/b#auth0|1", "sub:http://a#b#c",
                     "sub:http://[::1]:8000#x", "sub:https://a#" + "x" * 255):  # fmt: skip
            self.assertTrue(is_principal(text), text)
        for text in ("sub:", "sub:x", "sub:https://a", "sub:https://a#", "sub:https://#b", "sub:ftp://a#b",
                     "sub:https:///a#b", "sub:https://a#b c", "sub:https://a,b#c", "sub:https://a#b,c",
                     "sub:https://a#b\n", "sub:https://a#\u00e9", "sub:https://\u00e9#b", "sub:https://a b#c",
                     "Sub:https://a#b", "sub:https://a#" + "x" * 256, "sub:https://" + "x" * 256 + "#y",
                     "sub:https://?a#b", "sub:javascript:alert(1)#b"):  # fmt: skip
            self.assertFalse(is_principal(text), text)

    def test_bad(self) -> None:
        """Anything else."""
        for text in ("", "app:", "queuey", "bid:", "bid:a", "bid:a@b", "bid:@b.org", "bid:a@b.", "bid:a@@b.org",
                     "bid:a b@c.org", "app:a b", "user:x", "App:queuey", "bid:a@b..org", "app:a\n"):  # fmt: skip
            self.assertFalse(is_principal(text), text)

    def test_characters(self) -> None:
        """No control character and no half of a surrogate pair stands in any part of a principal."""
        for bad in ("\0", "\x01", "\t", "\x1b", "\x7f", "\x80", "\x9f", "\ud800", "\udbff", "\udc00", "\udfff"):
            for text in (f"app:a{bad}", f"bid:a{bad}@b.org", f"bid:a@b{bad}.org", f"bid:a@b.o{bad}rg",
                         f"sub:https://a{bad}#b", f"sub:https://a#b{bad}"):  # fmt: skip
                self.assertFalse(is_principal(text), ascii(text))
        self.assertTrue(is_principal("bid:\N{PILE OF POO}@b\u00fccher.example"))

    def test_length(self) -> None:
        """The longest issuer and the longest subject are a principal; nothing is longer."""
        longest = f"sub:https://a{'b' * 254}#{'x' * 255}"
        self.assertEqual(len(longest), MAX_PRINCIPAL)
        self.assertTrue(is_principal(longest))
        for begin in ("app:a", "bid:a@b.org"):
            self.assertTrue(is_principal(begin.ljust(MAX_PRINCIPAL, "x")))
            self.assertFalse(is_principal(begin.ljust(MAX_PRINCIPAL + 1, "x")))
            self.assertFalse(is_principal(begin.ljust(900_000, "x")))
