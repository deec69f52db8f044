"""The samples of etc/ with what belongs to a machine replaced, so that they can be run in a folder of a test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def sample(name: str, replacements: Mapping[str, str]) -> str:
    """A sample's text.

    :param name: its path below ``etc``.
    :param replacements: each must be there, so that a sample that changes cannot pass a test that has not.
    """
    text = (ROOT / "etc" / name).read_text(encoding="utf-8")
    for old, new in replacements.items():
        if old not in text:
            raise AssertionError(f"{name} has no {old}")
        text = text.replace(old, new)
    return text
