"""Caches what werkzeug compiles for routes, since tests make thousands of HTTP servers with the same routes.

For each route it writes and compiles the source of two functions that build paths, which takes most of the time of
putting a daemon together. The functions depend only on the path of the route, and Queuey never calls them.
"""

from __future__ import annotations

from collections.abc import Callable

from werkzeug.routing import Rule

Builder = Callable[..., tuple[str, str]]

_compile: Callable[[Rule, bool], Builder] = Rule._compile_builder
_kept: dict[tuple[str, tuple[tuple[bool, str], ...], bool], Builder] = {}


def _compile_once(rule: Rule, append_unknown: bool = True) -> Builder:
    if rule.defaults:
        return _compile(rule, append_unknown)
    key = (rule.rule, tuple(rule._trace), append_unknown)
    if key not in _kept:
        _kept[key] = _compile(rule, append_unknown)
    return _kept[key]


def keep_what_is_compiled() -> None:
    """From now on, and for all maps of this process."""
    Rule._compile_builder = _compile_once  # type: ignore[method-assign, assignment]
