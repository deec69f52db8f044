"""The programs of the page "Coming from SQS", as they stand there: boto3, Celery, the AWS CLI, Node.js and Go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests import runs_in
from tests.live.daemon.test_daemon import wait_until
from tests.live.sqs.support import HERE, PROGRAMS, SqsCase, needed_go, needed_library, needed_program
from tests.manual import DOCS, blocks

run_in = "test"

GO = """\
package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func main() {
	ctx := context.Background()
	{program}
	if err != nil {
		panic(err)
	}
}
"""


class GuideTests(SqsCase):
    """Each sends a message, and receives it."""

    def program(self, language: str, word: str) -> str:
        """The block of a language that has a word in it, for the port of this test."""
        page = (DOCS / "sqs.rst").read_text("utf-8")
        found = ["\n".join(lines) for _, lines in blocks(page, language)]
        (text,) = (text for text in found if word in text)
        self.assertIn("127.0.0.1:5000", text)
        return text.replace("127.0.0.1:5000", f"127.0.0.1:{self.port}")

    def left(self) -> int:
        """How many messages the queue has."""
        sqs = self.boto()
        url = sqs.get_queue_url(QueueName="orders")["QueueUrl"]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return sum(int(found[f"ApproximateNumberOfMessages{end}"]) for end in ("", "NotVisible"))

    def test_boto3(self) -> None:
        self.assertEqual(self.run_program(sys.executable, "-c", self.program("python", "boto3")), "a pear\n")
        self.assertEqual(self.left(), 0)

    def test_cli(self) -> None:
        """It receives the message, and does not delete it."""
        script = self.program("text", "alias sqs=")
        path = f"{needed_program('aws').parent}:{os.environ['PATH']}"
        self.assertIn('"Body": "a pear"', self.run_program("sh", "-e", "-c", script, PATH=path))
        self.assertEqual(self.left(), 1)

    def test_javascript(self) -> None:
        node = needed_library(self.folder)
        (self.folder / "program.mjs").write_text(self.program("javascript", "client-sqs"))
        self.assertEqual(self.run_program(node, "program.mjs"), "a pear\n")
        self.assertEqual(self.left(), 0)

    @runs_in("test-long")
    def test_go(self) -> None:
        """It needs the queue, which the page makes by the AWS CLI."""
        go = needed_go()
        self.boto().create_queue(QueueName="orders")
        program = self.folder / "main.go"
        program.write_text(GO.replace("{program}", self.program("go", "NewFromConfig")))
        more = {name: value for name in ("GOCACHE", "GOPATH") if (value := self.go_setting(go, name))}
        given = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false", **more}
        self.assertEqual(self.run_program(go, "run", program, folder=HERE / "go", **given), "a pear\n")
        self.assertEqual(self.left(), 0)

    def go_setting(self, go: str, name: str) -> str:
        """Where Go has what it has compiled and fetched; the home of the program is another folder."""
        return subprocess.run([go, "env", name], capture_output=True, text=True, timeout=60, check=True).stdout.strip()

    def test_celery(self) -> None:
        needed_program("celery")
        (self.folder / "shop.py").write_text(self.program("python", "Celery"))
        output = self.folder / "worker.log"
        with output.open("wb") as log:
            worker = subprocess.Popen(
                [PROGRAMS / "celery", "-A", "shop", "worker", "-c", "1"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self.environment(),
                start_new_session=True,
            )
        self.addCleanup(worker.wait, 60)
        self.addCleanup(os.killpg, worker.pid, signal.SIGKILL)
        self.run_program(PROGRAMS / "celery", "-A", "shop", "call", "shop.book", "--args", '["a pear"]')
        wait_until(
            lambda: "booked a pear" in output.read_text(errors="replace"), f"the task is not done: {output.read_text()}"
        )
