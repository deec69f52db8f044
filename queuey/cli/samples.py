"""The samples of ``etc``: settings, units of systemd, and files for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import attrs

import queuey

FOLDER: Final = Path(queuey.__file__).parent / "samples"
"""A link to ``etc`` in a checkout; a wheel contains the files themselves."""

_PROGRAM: Final = "/opt/queuey"
"""The virtual environment that the units name."""

_ABOVE: Final = "../"
"""The folder above ``etc``, with which paths of settings in a checkout begin."""


@attrs.frozen
class Sample:
    """A file that an operator begins with.

    :ivar option: the option of ``queuey config`` that prints it; empty for the one that is printed without an option.
    :ivar file: its path in the folder of the samples.
    :ivar goes_to: its path on a Debian system.
    :ivar what: a description.
    """

    option: str
    file: str
    goes_to: str
    what: str

    def text(self) -> str:
        """Return the text of the file, made to fit this machine.

        A unit names the environment that this program runs in. Settings keep their data in the folder that they are
        in, where those of a checkout, which are in ``etc``, keep them in the folder above.
        """
        text = (FOLDER / self.file).read_text(encoding="utf-8")
        if self.file.startswith("systemd/"):
            return text.replace(_PROGRAM, sys.prefix)
        return text.replace(_ABOVE, "") if self.file.endswith(".ini") else text


SAMPLES: Final = (
    Sample("", "queuey.ini", "/etc/queuey/queuey.ini", "settings for production"),
    Sample("development", "queuey-dev.ini", "", "settings for trying it out"),
    Sample("cassandra", "queuey-cassandra.ini", "", "settings for trying it out on Cassandra"),
    Sample("systemd", "systemd/queuey.service", "/etc/systemd/system/queuey.service", "the service"),
    Sample("systemd-socket", "systemd/queuey.socket", "/etc/systemd/system/queuey.socket", "its port, held by systemd"),
    Sample(
        "systemd-template",
        "systemd/queuey@.service",
        "/etc/systemd/system/queuey@.service",
        "several front ends of a cluster on one machine",
    ),
    Sample("environment", "default/queuey", "/etc/default/queuey", "the environment of the service"),
    Sample("sysusers", "sysusers.d/queuey.conf", "/etc/sysusers.d/queuey.conf", "the user that it runs as"),
    Sample("tmpfiles", "tmpfiles.d/queuey.conf", "/etc/tmpfiles.d/queuey.conf", "folders that no unit makes"),
    Sample("logrotate", "logrotate/queuey", "/etc/logrotate.d/queuey", "the rotation of the log"),
    Sample("nginx", "nginx/queuey.conf", "/etc/nginx/conf.d/queuey.conf", "a proxy"),
    Sample("haproxy", "haproxy/queuey.cfg", "/etc/haproxy/haproxy.cfg", "another proxy"),
    Sample(
        "prometheus", "prometheus/prometheus.yml", "/etc/prometheus/prometheus.yml", "the job that asks for metrics"
    ),
    Sample("alerts", "prometheus/queuey.rules.yml", "/etc/prometheus/queuey.rules.yml", "alerts of Prometheus"),
    Sample("grafana", "grafana/queuey.json", "", "a dashboard of Grafana"),
)


def listing() -> list[str]:
    """Return a line for each sample: the option that prints it, a description, and its path."""
    shown = [(f"--{one.option}" if one.option else "", one.what, one.goes_to) for one in SAMPLES]
    widths = [max(len(row[at]) for row in shown) for at in (0, 1)]
    return [f"{option:{widths[0]}}  {what:{widths[1]}}  {goes_to}".rstrip() for option, what, goes_to in shown]
