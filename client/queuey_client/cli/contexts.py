"""``config.toml``: where requests go, by name."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from queuey_client.cli.failures import WRONG_ARGUMENTS, Failure

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_CONFIG = 1 << 20
"""Bytes of the file."""

MAX_KEY = 4096
COMMAND_LIMIT = 60
"""Seconds that a ``key_command`` may take: a password manager may ask its user."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MEMBERS = ("url", "application", "key", "key_file", "key_command", "keyring", "ca_file", "ops")


@dataclass(frozen=True)
class Context:
    """Where requests go, and with which key."""

    url: str | None = None
    application: str | None = None
    key: str | None = None
    key_file: str | None = None
    key_command: str | None = None
    keyring: bool = False
    ca_file: str | None = None
    ops: str | None = None

    def members(self) -> dict[str, Any]:
        """Return what is set."""
        return {name: getattr(self, name) for name in MEMBERS if getattr(self, name) not in (None, False)}

    def shown(self) -> dict[str, Any]:
        """Return what is set, without the key itself."""
        return {name: "(in the file)" if name == "key" else value for name, value in self.members().items()}


@dataclass(frozen=True)
class Config:
    """The whole file."""

    contexts: Mapping[str, Context] = field(default_factory=dict)
    selected: str | None = None
    previous: str | None = None

    def select(self, name: str) -> Config:
        """Return it with another context selected. :raise Failure: if there is no context of that name."""
        self.named(name)
        before = self.previous if self.selected == name else self.selected
        return replace(self, selected=name, previous=before)

    def named(self, name: str) -> Context:
        """Return a context. :raise Failure: if there is no context of that name."""
        if name not in self.contexts:
            known = ", ".join(sorted(self.contexts)) or "none"
            raise Failure(f"there is no context {name!r}; the contexts are: {known}", status=WRONG_ARGUMENTS)
        return self.contexts[name]


def config_path(environment: Mapping[str, str]) -> Path:
    """Return where the file is."""
    home = environment.get("XDG_CONFIG_HOME") or os.path.join(
        environment.get("HOME") or os.path.expanduser("~"), ".config"
    )
    return Path(home) / "queuey" / "config.toml"


def state_path(environment: Mapping[str, str]) -> Path:
    """Return the folder in which readers keep their places."""
    home = environment.get("XDG_STATE_HOME")
    home = home or os.path.join(environment.get("HOME") or os.path.expanduser("~"), ".local", "state")
    return Path(home) / "queuey"


def load(path: Path) -> Config:
    """Read the file; without one there are no contexts.

    :raise Failure: if it cannot be read, has a mistake, or has a key and others may read it.
    """
    try:
        if path.stat().st_size > MAX_CONFIG:
            raise Failure(f"{path}: has more than {MAX_CONFIG} bytes", status=WRONG_ARGUMENTS)
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise Failure(f"{path}: cannot be read: {error.strerror}", status=WRONG_ARGUMENTS) from None
    except ValueError as error:
        raise Failure(f"{path}: is not TOML: {error}", status=WRONG_ARGUMENTS) from None
    found = document.get("contexts", {})
    if not isinstance(found, dict):
        raise Failure(f"{path}: contexts is not a table", status=WRONG_ARGUMENTS)
    contexts = {name: _context(path, name, members) for name, members in found.items()}
    if any(each.key for each in contexts.values()):
        check_mode(path, "it has a key")
    return Config(contexts, _text(document.get("selected")), _text(document.get("previous")))


def save(path: Path, config: Config) -> None:
    """Replace the file in one step, for its user alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".config-")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(written(config))
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def written(config: Config) -> str:
    """Return the text of the file. A string of JSON is one of TOML too."""
    lines = [f"{name} = {_quoted(value)}" for name in ("selected", "previous") if (value := getattr(config, name))]
    for name, context in sorted(config.contexts.items()):
        lines += ["", f"[contexts.{_quoted(name)}]"]
        lines += [f"{key} = {_quoted(value)}" for key, value in context.members().items()]
    return "\n".join(lines).lstrip("\n") + "\n"


def check_mode(path: Path, why: str) -> None:
    """Refuse a file that others may read. :raise Failure: if they may."""
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise Failure(
            f"{path}: {why}, and others may read it: chmod 600 {shlex.quote(str(path))}", status=WRONG_ARGUMENTS
        )


def others_may_read(path: Path) -> bool:
    """Tell whether users besides the owner and the group may read a file."""
    return os.name == "posix" and bool(stat.S_IMODE(path.stat().st_mode) & 0o007)


def key_of_file(path: Path) -> str:
    """Read a key. :raise Failure: if the file cannot be read, or does not have exactly one key."""
    try:
        with path.open("rb") as file:
            return one_key(file.read(MAX_KEY + 1), str(path))
    except OSError as error:
        raise Failure(f"{path}: cannot be read: {error.strerror}", status=WRONG_ARGUMENTS) from None


def one_key(data: bytes, where: str) -> str:
    """Return the key in some bytes. :raise Failure: if there is not exactly one."""
    words = data.split() if len(data) <= MAX_KEY else []
    if len(words) != 1 or not words[0].isascii():
        raise Failure(f"{where}: must contain exactly one key", status=WRONG_ARGUMENTS)
    return words[0].decode()


def key_of_command(command: str) -> str:
    """Run a command that prints the key. :raise Failure: if it fails."""
    try:
        done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, timeout=COMMAND_LIMIT)
    except subprocess.TimeoutExpired:
        raise Failure(f"key_command {command!r} did not end within {COMMAND_LIMIT} s") from None
    if done.returncode:
        raise Failure(f"key_command {command!r} ended with status {done.returncode}")
    return one_key(done.stdout, f"key_command {command!r}")


def key_of_keyring(url: str, application: str) -> str:
    """Ask the keyring of the desktop. :raise Failure: if it has no key."""
    try:
        import keyring
    except ImportError:
        raise Failure("keyring = true needs a package: pip install keyring", status=WRONG_ARGUMENTS) from None
    found = keyring.get_password(f"queuey {url}", application)
    if not found:
        command = f"keyring set {shlex.quote(f'queuey {url}')} {shlex.quote(application)}"
        raise Failure(f"the keyring has no key for it: {command}")
    return one_key(found.encode(), "the keyring")


def _context(path: Path, name: str, members: Any) -> Context:
    if not isinstance(members, dict):
        raise Failure(f"{path}: contexts.{name} is not a table", status=WRONG_ARGUMENTS)
    for key, value in members.items():
        if key not in MEMBERS:
            raise Failure(
                f"{path}: contexts.{name}: unknown {key!r}; there are: {', '.join(MEMBERS)}", status=WRONG_ARGUMENTS
            )
        if not isinstance(value, bool if key == "keyring" else str):
            raise Failure(
                f"{path}: contexts.{name}.{key} is no {'boolean' if key == 'keyring' else 'text'}",
                status=WRONG_ARGUMENTS,
            )
    return Context(**members)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
