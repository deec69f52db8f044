"""Names and principals."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from queuey.model.queue import is_principal, name_problem


class NameTests(SynchronousTestCase):
    """What may be the name of a queue."""

    def test_good(self) -> None:
        """Any Unicode, up to fifty characters."""
        for name in ("q", "a b", "Größe", "\N{PILE OF POO}" * 50, "...", "%2F", "x?y#z", "\u00a0", "a.b-c_d~e"):
            self.assertIsNone(name_problem(name), name)

    def test_bad(self) -> None:
        """Too short, too long, or with a character that a URL or a list takes for something else."""
        for name in ("", "x" * 51, "a/b", "a,b", "a:b", "a\nb", "\0", "\x7f", "\x85", ".", "..", "\ud800"):
            self.assertIsNotNone(name_problem(name), repr(name))


class PrincipalTests(SynchronousTestCase):
    """What may be a principal."""

    def test_good(self) -> None:
        """Applications and e-mail addresses, with dots, plus signs, hyphens and hosts of many labels."""
        for text in ("app:queuey", "app:my-app.2", "bid:a@b.org", "bid:first.last+tag@mail-1.example.co.uk"):
            self.assertTrue(is_principal(text), text)

    def test_bad(self) -> None:
        """Anything else."""
        for text in ("", "app:", "queuey", "bid:", "bid:a", "bid:a@b", "bid:@b.org", "bid:a@b.", "bid:a@@b.org",
                     "bid:a b@c.org", "app:a b", "user:x", "App:queuey", "bid:a@b..org", "app:a\n"):  # fmt: skip
            self.assertFalse(is_principal(text), text)
