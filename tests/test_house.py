"""Conventions of the whole project that no linter checks."""

from __future__ import annotations

import ast
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
#: Folders, anywhere in the tree, that hold nothing that is written by hand; those that begin with a dot neither.
MADE = {"__pycache__", "_build", "build", "dist", "queuey-data", "node_modules", "target"}
MADE |= {"queuey.egg-info", "queuey_client.egg-info"}
#: The same of the root alone: servers, and what they write.
SERVERS = {"bin", "cassandra", "cassandra-3.11", "cassandra-trio"}
DOTTED = {".ci"}
TEXTS = {".py", ".rst", ".toml", ".ini", ".txt", ".in", ".sh", ".cfg", ".md", ".cql", ".yaml", ".xml", ".service", ""}
TEXTS |= {".js", ".mjs", ".json", ".ts", ".html"}
#: What belongs to one machine, or names a host that packages come from; put together, so as not to find itself.
FORBIDDEN = ("/wo" + "rk/", "/ro" + "ot/", "py" + "pi.org", "python" + "hosted.org", "npm" + "js.org")


def files() -> Iterator[Path]:
    """Every file of the project that is text."""
    for folder, names, found in os.walk(ROOT):
        made = MADE | SERVERS if Path(folder) == ROOT else MADE
        names[:] = [n for n in names if n not in made and (not n.startswith(".") or n in DOTTED)]
        yield from (Path(folder, name) for name in found if Path(name).suffix in TEXTS)


def imports(tree: ast.AST) -> Iterator[str]:
    """The full names that a module imports, however it writes them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def possessive(text: str | bytes) -> bool:
    """Whether a constant is a regular expression that repeats a group possessively."""
    pattern = text.decode("latin-1") if isinstance(text, bytes) else text
    return "(?" in pattern and re.search(r"\)[*+?]\+", pattern) is not None


class HouseTests(SynchronousTestCase):
    """The tree as a whole."""

    def test_files_are_found(self) -> None:
        """The other tests look at something."""
        found = {str(path.relative_to(ROOT)) for path in files()}
        self.assertLessEqual({"setup.py", "Makefile", ".ci/run", "queuey/errors.py", "docs/index.rst"}, found)

    def test_only_the_service_knows_the_reactor(self) -> None:
        """Everything else is handed one, which a test can replace."""
        guilty = [
            str(path.relative_to(ROOT))
            for path in sorted((ROOT / "queuey").rglob("*.py"))
            if "twisted.internet.reactor" in imports(ast.parse(path.read_text(encoding="utf-8")))
        ]
        # Where the daemon begins, and where its workers do.
        self.assertEqual(guilty, ["queuey/service/__init__.py", "queuey/service/worker.py"])

    def test_no_possessive_repeat_of_a_group(self) -> None:
        """Python before 3.11.5 lets ``(...)*+`` match too much (gh-106052); ``(?>(...)*)`` is right everywhere."""
        found = [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for folder in ("queuey", "client")
            for path in sorted((ROOT / folder).rglob("*.py"))
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and possessive(node.value)
        ]
        self.assertEqual(found, [])
        self.assertTrue(possessive(r"(?:a|b)*+"))
        self.assertFalse(possessive(r"(?>(?:a|b)*)c*+"))

    def test_the_plugin_folder_is_no_package(self) -> None:
        """An __init__.py there hides the plugins of Twisted itself."""
        here = sorted(path.name for path in (ROOT / "twisted").rglob("*.py"))
        self.assertEqual(here, ["queuey_plugin.py"])

    def test_every_folder_of_modules_is_a_package(self) -> None:
        """What is in a folder without an __init__.py is neither in the wheel nor among the tests that are run."""
        trees = ("queuey", "client/queuey_client", "tests")
        folders = {path.parent for name in trees for path in (ROOT / name).rglob("*.py")}
        self.assertEqual([str(f.relative_to(ROOT)) for f in folders if not (f / "__init__.py").exists()], [])

    def test_news_fragments_have_known_types(self) -> None:
        """A fragment of another type is in no release note."""
        settings = tomllib.loads((ROOT / "towncrier.toml").read_text(encoding="utf-8"))["tool"]["towncrier"]
        known = "|".join(one["directory"] for one in settings["type"])
        for path in (ROOT / "newsfragments").iterdir():
            if path.name not in settings["ignore"]:
                self.assertRegex(path.name, rf"^(\+[a-z0-9-]+|\d+)\.({known})\.rst$")
                self.assertTrue(path.read_text(encoding="utf-8").strip(), path)

    def test_nothing_names_one_machine(self) -> None:
        """The project works wherever it is cloned, with whatever registry pip is set up for."""
        for path in files():
            text = path.read_text(encoding="utf-8", errors="replace")
            self.assertEqual([word for word in FORBIDDEN if word in text], [], path)
