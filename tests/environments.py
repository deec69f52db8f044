"""Makes environments besides ``.venv``: ``python -m tests.environments PYTHON FOLDER [REQUIREMENTS]``.

With a file of requirements, an environment holds what that lists. Otherwise it is one for another Python, which holds
what the unit and contract suites need; Queuey itself is taken from the checkout, and its metadata says what is needed,
so it has to be installed in the Python that runs this. Quick if nothing has changed.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
EXTRAS = ("", "unit", "tls")


def requirements() -> list[str]:
    """What the suites need, as pip takes it. The client is taken from the checkout too; CLIENT has what it needs."""
    found = [Requirement(text) for text in requires("queuey") or () if not text.startswith("queuey-client")]
    wanted = [one for one in found if one.marker is None or any(one.marker.evaluate({"extra": e}) for e in EXTRAS)]
    for one in wanted:
        one.marker = None
    return sorted({str(one) for one in wanted})


def fingerprint(python: str, needed: list[str], listed: Path) -> str:
    """Return a digest that changes whenever the environment has to be made again."""
    text = "\n".join([python, *needed, listed.read_text(encoding="utf-8")])
    return hashlib.sha256(text.encode()).hexdigest()


def make(python: str, folder: Path, listed: Path | None = None) -> None:
    """Make the environment, or do nothing if it is there and right.

    :param listed: a file of requirements; ``None``: what the suites need.
    """
    needed = requirements() if listed is None else ["-r", str(listed)]
    constraints = ["-c", str(CONSTRAINTS)] if listed is None else []
    mark = folder / "made-from"
    state = fingerprint(python, needed, listed or CONSTRAINTS)
    if mark.exists() and mark.read_text(encoding="ascii") == state:
        return
    subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
    # Its own pip, since that of an older Python may fail under a newer one. Most modules are never imported.
    install: list[str | Path] = [
        folder / "bin" / "python",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--no-compile",
        *constraints,
        *needed,
    ]
    subprocess.run(install, check=True)
    mark.write_text(state, encoding="ascii")


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]), *map(Path, sys.argv[3:4]))
