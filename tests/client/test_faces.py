"""The three faces have the same names, parameters and defaults, and differ where the loop differs."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

import queuey_client
from queuey_client import aio, tx

NAMES = ("Client", "Queue", "Group", "Push", "Schedule", "Writer", "Worker", "Deliveries")
ASYNC = {"__enter__": "__aenter__", "__exit__": "__aexit__", "__next__": "__anext__", "__iter__": "__aiter__"}
#: What a worker works on at once is threads, or coroutines; how many there are is another number then.
RENAMED = {"threads": "concurrency"}
#: What a loop is made of, which is no name of the faces.
MORE = {
    "aio": {"Worker": {"ask_to_stop", "abandon", "begin", "finish", "stopped", "stopping"}},
    "tx": {"Worker": {"ask_to_stop", "abandon", "begin", "finish", "stopped", "stopping", "service"}},
}


def public(kind: type) -> dict[str, object]:
    """The public members of a class, and how it is used in statements."""
    found = {}
    for name, member in inspect.getmembers(kind):
        if not name.startswith("_") or ((name in ASYNC.values() or name in ASYNC) and callable(member)):
            found[name] = member
    return found


def parameters(member: object) -> list[tuple[str, object, object]]:
    """Names, kinds and defaults."""
    if not callable(member):
        return []
    signature = inspect.signature(member)
    return [(RENAMED.get(p.name, p.name), p.kind, p.default) for p in signature.parameters.values()]


class FacesTests(SynchronousTestCase):
    """Class by class."""

    def pairs(self) -> Iterator[tuple[str, str, type, type]]:
        """Each class of each other face, with the one for threads."""
        faces: list[tuple[str, ModuleType]] = [("aio", aio), ("tx", tx)]
        for face, module in faces:
            for name in NAMES:
                yield face, name, getattr(queuey_client, name), getattr(module, name)

    def test_the_same_names(self) -> None:
        """All public methods and attributes."""
        for face, name, sync, other in self.pairs():
            wanted = {ASYNC.get(each, each) for each in public(sync)}
            more = MORE[face].get(name, set())
            self.assertEqual(set(public(other)) - more, wanted, f"{face}.{name}")

    def test_the_same_parameters(self) -> None:
        """With the same defaults, but for how many messages are worked on at once."""
        for face, name, sync, other in self.pairs():
            theirs = public(other)
            for method, member in public(sync).items():
                mine, found = parameters(member), parameters(theirs[ASYNC.get(method, method)])
                if face == "tx":
                    found = [each for each in found if each[0] not in ("reactor", "treq")]
                if method == "worker":
                    mine, found = ([each for each in some if each[0] != "concurrency"] for some in (mine, found))
                self.assertEqual(found, mine, f"{face}.{name}.{method}")
            if name == "Client":
                mine, found = parameters(sync), parameters(other)
                found = [each for each in found if each[0] not in ("reactor", "treq")]
                self.assertEqual(found, mine, f"{face}.{name}")

    def test_every_method_is_documented(self) -> None:
        """In each face."""
        for face, name, sync, other in self.pairs():
            for kind in (sync, other):
                bare = [each for each, member in public(kind).items() if not inspect.getdoc(member)]
                self.assertEqual([each for each in bare if not each.startswith("_")], [], f"{face}.{name}")

    def test_exports(self) -> None:
        """Each name of ``__all__`` is there, and they are sorted."""
        for module in (queuey_client, aio, tx):
            self.assertEqual([name for name in module.__all__ if not hasattr(module, name)], [])
            self.assertEqual(len(set(module.__all__)), len(module.__all__))

    def test_python_3_9(self) -> None:
        """Every module can be read by it."""
        modules = list(Path(queuey_client.__file__).parent.rglob("*.py"))
        self.assertGreater(len(modules), 30)
        for path in modules:
            text = path.read_text(encoding="utf-8")
            ast.parse(text, str(path), feature_version=(3, 9))
            if "|" in text:
                self.assertIn("from __future__ import annotations", text, path)
