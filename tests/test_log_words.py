"""Every line that Queuey can log is explained in docs/log.rst, and no other is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
LEVELS = {"debug": "debug", "info": "info", "warn": "warn", "error": "error", "critical": "critical"}
#: What an EventLog's failure is logged at, and that of a plain Logger.
FAILURE = {True: "error", False: "critical"}
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
                yield text, FAILURE[bool(WORD.fullmatch(text))]
            elif method in LEVELS:
                yield text, LEVELS[method]


def in_code() -> tuple[set[Line], set[Line]]:
    """Every line with a word, and every line without one, whose fields are shown as dots."""
    found = set()
    for path in (ROOT / "queuey").rglob("*.py"):
        found |= set(logged(ast.parse(path.read_text(encoding="utf-8"))))
    worded = {line for line in found if WORD.fullmatch(line[0])}
    return worded, {(re.sub(r"\{[^}]*\}", "...", text), level) for text, level in found - worded}


def in_documentation() -> tuple[set[Line], set[Line]]:
    """The rows of the two tables."""
    text = (ROOT / "docs" / "log.rst").read_text(encoding="utf-8")
    first, second = re.split(r"(?m)^Lines with a place instead$", text)

    def rows(part: str) -> set[Line]:
        found = re.findall(r"(?m)^   \* - ``(.*)``\n     - (.*)\n     - \S", part)
        return {(name, level) for name, levels in found for level in levels.split(", ")}

    return rows(first), rows(second)


class LogWordsTests(SynchronousTestCase):
    """The tables are those of the code."""

    maxDiff = None

    def test_words(self) -> None:
        """Every event word, with its levels."""
        worded = in_code()[0]
        self.assertIn(("access", "info"), worded)
        self.assertIn(("log-lines-lost", "warn"), worded)
        self.assertEqual(in_documentation()[0], worded)

    def test_texts(self) -> None:
        """Every line without a word, with its levels."""
        self.assertEqual(in_documentation()[1], in_code()[1])
