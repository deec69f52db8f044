"""Every line that Queuey can log is explained in docs/log.rst, and no other is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
LEVELS = {"debug": "debug", "info": "info", "warn": "warn", "error": "error", "critical": "critical"}
WORD = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

Line = tuple[str, str]


def literal(node: ast.expr) -> str:
    """The text that an expression is, or nothing where it is none."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def is_log(node: ast.expr) -> bool:
    """Whether an expression is a logger, by its name."""
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.strip("_") == "log"


def logged(tree: ast.AST) -> Iterator[Line]:
    """The word or the text, and the level, of every line that a module logs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            # How the access line and its word come together.
            words = {literal(key): literal(value) for key, value in zip(node.keys, node.values, strict=True) if key}
            if words.get("event"):
                yield words["event"], "info"
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        method, arguments = node.func.attr, node.args
        if method == "_own":
            level = arguments[0]
            assert isinstance(level, ast.Attribute)
            yield literal(arguments[1]), level.attr
        elif is_log(node.func.value) and arguments:
            text = literal(arguments[0])
            if method == "failure":
                yield text, "error"
            elif method in LEVELS:
                yield text, LEVELS[method]


def in_code() -> set[Line]:
    """Every line that is logged."""
    found: set[Line] = set()
    for path in (ROOT / "queuey").rglob("*.py"):
        found |= set(logged(ast.parse(path.read_text(encoding="utf-8"))))
    return found


def in_documentation() -> set[Line]:
    """The rows of the table."""
    text = (ROOT / "docs" / "log.rst").read_text(encoding="utf-8")
    found = re.findall(r"(?m)^   \* - ``(.*)``\n     - (.*)\n     - \S", text)
    return {(name, level) for name, levels in found for level in levels.split(", ")}


class LogWordsTests(SynchronousTestCase):
    """The table is that of the code."""

    maxDiff = None

    def test_words(self) -> None:
        """Every event word, with its levels."""
        words = in_code()
        self.assertIn(("access", "info"), words)
        self.assertIn(("log-lines-lost", "warn"), words)
        self.assertEqual(in_documentation(), words)

    def test_nothing_without_a_word(self) -> None:
        """Every line has one."""
        self.assertEqual({line for line in in_code() if not WORD.fullmatch(line[0])}, set())
