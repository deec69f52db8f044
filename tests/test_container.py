"""The Containerfile, the settings of the image and the compose files, as far as they can be read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from queuey.config import CassandraStorage, SQLiteStorage, load

ROOT = Path(__file__).parents[1]
CONTAINER = ROOT / "etc" / "container"


def compose(name: str) -> Any:
    """A compose file."""
    return yaml.safe_load((ROOT / name).read_text())


class ContainerTests(SynchronousTestCase):
    def test_settings(self) -> None:
        """Both files can be served from; the log goes to standard error, and operators have a socket."""
        one, many = load(CONTAINER / "queuey.ini"), load(CONTAINER / "cassandra.ini")
        self.assertEqual(one.storage, SQLiteStorage(Path("/var/lib/queuey"), "full", 16 << 20))
        assert isinstance(many.storage, CassandraStorage)
        self.assertEqual((many.storage.replication, many.storage.frontends), (3, "many"))
        for settings in (one, many):
            self.assertEqual((settings.server.http, settings.logging.file), (("tcp:5000",), None))
            self.assertEqual(len(settings.server.ops.listen), 1)

    def test_what_is_copied_is_there_and_not_ignored(self) -> None:
        ignored = (ROOT / ".containerignore").read_text().splitlines()
        text = (ROOT / "Containerfile").read_text()
        names = [name for line in re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", text) for name in line.split()]
        self.assertGreater(len(names), 5)
        for name in names:
            self.assertTrue((ROOT / name).exists(), name)
            self.assertIn("!" + name.split("/")[0], ignored)

    def test_compose(self) -> None:
        """One with a volume for the data; one with three nodes and two front ends, on settings that name them."""
        one = compose("compose.yaml")
        (service,) = one["services"].values()
        self.assertEqual(service["volumes"], ["data:/var/lib/queuey"])
        self.assertEqual(set(one["volumes"]), {"data"})
        many = compose("compose.cassandra.yaml")["services"]
        settings = load(CONTAINER / "cassandra.ini")
        assert isinstance(settings.storage, CassandraStorage)
        nodes = {name for name in many if name.startswith("cassandra-")}
        self.assertEqual({node[0] for node in settings.storage.hosts}, nodes)
        self.assertEqual((len(nodes), len(many)), (3, 5))
        published = [port for name in many if name not in nodes for port in many[name]["ports"]]
        self.assertEqual(len(set(published)), 2)
        for port in [*service["ports"], *published]:
            self.assertRegex(port, r"\A127\.0\.0\.1:\d+:5000\Z")
