"""What the tests of clients of SQS have in common: a daemon that serves them, and the environment of their programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from twisted.trial.unittest import SkipTest

from queuey.model.applications.application import digest_of
from queuey.model.applications.aws_keys import aws_key
from tests.live.client.test_javascript import needed_node
from tests.live.clients import KEY
from tests.live.daemon.test_daemon import LiveTestCase

PAIR: Final = aws_key(digest_of(KEY))
"""The credentials that belong to the key of these tests."""

ALLOWED: Final = "[application:queuey]\nsqs = true\n"
"""The settings that let clients of SQS in."""

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[2]
PROGRAMS: Final = ROOT / ".venvs" / "sqs" / "bin"
"""Where the AWS CLI and Celery are."""

GO_PROGRAM: Final = ROOT / "bin" / "sqs-go"
LIBRARY: Final = HERE / "javascript" / "node_modules"
LIMIT: Final = 120.0
"""Seconds that a program may take."""


class SqsCase(LiveTestCase):
    """A daemon, and programs that have the credentials in their environment."""

    def setUp(self) -> None:
        super().setUp()
        self.add_settings(ALLOWED)
        self.daemon = self.serve()

    @property
    def endpoint(self) -> str:
        """The URL that clients are given."""
        return f"http://127.0.0.1:{self.port}/sqs"

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a program; nothing of this machine's own settings of AWS is in it."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AWS_ACCESS_KEY_ID": PAIR.id,
            "AWS_SECRET_ACCESS_KEY": PAIR.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            **more,
        }

    def run_program(self, *command: str | Path, folder: Path | None = None, **more: str) -> str:
        """Run a program to its end, and return what it prints.

        :raise AssertionError: it fails.
        """
        done = subprocess.run(
            command,
            cwd=folder or self.folder,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        if done.returncode:
            raise AssertionError(f"{command[0]} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def boto(self) -> Any:
        """A client of boto3 that tries each call once."""
        config = Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=30)
        found = boto3.client(
            "sqs",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=PAIR.id,
            aws_secret_access_key=PAIR.secret,
            config=config,
        )
        self.addCleanup(found.close)
        return found


def needed_program(name: str) -> Path:
    """Where a program of the environment of these tests is.

    :raise AssertionError: it is not installed.
    """
    if not (PROGRAMS / name).exists():
        raise AssertionError(f"{name} is not there: make sqs-clients")
    return PROGRAMS / name


def needed_library(folder: Path) -> str:
    """Put the SDK for JavaScript into a folder. :return: where Node.js is.

    :raise SkipTest: there is no Node.js, or no npm, which installs the SDK.
    """
    node = needed_node()
    if shutil.which("npm") is None:
        raise SkipTest("there is no npm here, which installs the SDK of SQS")
    if not LIBRARY.exists():
        raise AssertionError("the SDK of SQS for Node.js is not there: make sqs-clients")
    (folder / "node_modules").symlink_to(LIBRARY)
    return node


def needed_go() -> str:
    """Where Go is.

    :raise SkipTest: there is none, or it is too old.
    """
    go = shutil.which("go")
    if go is None:
        raise SkipTest("there is no Go here")
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    known = subprocess.run([go, "list", "-m"], cwd=HERE / "go", env=environment, capture_output=True, timeout=LIMIT)
    if known.returncode:
        raise SkipTest("this Go is too old for the SDK of SQS")
    if not GO_PROGRAM.exists():
        raise AssertionError("this machine has Go, and the program is not there: make sqs-go")
    return go
