"""The samples for reverse proxies, each run in front of a daemon."""

from __future__ import annotations

import http.client
import json
import os

from tests.live.operating import proxies
from tests.live.samples import sample


class NginxTests(proxies.ProxyTestCase):
    """nginx, with a main file around the sample."""

    program = "nginx"

    def command(self) -> list[str]:
        paths = "".join(
            f"    {kind}_temp_path {self.folder / kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        replacements = {
            "listen [::]:443 ssl;": "",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.front} ssl;",
            "127.0.0.1:5000;": f"127.0.0.1:{self.port};",
            "/etc/nginx/queuey-certificate.pem": str(self.certificate),
            "/etc/nginx/queuey-key.pem": str(self.key),
        }
        (self.folder / "queuey.conf").write_text(sample("nginx/queuey.conf", replacements))
        main = self.folder / "nginx.conf"
        main.write_text(
            ("user root;\n" if os.getuid() == 0 else "")
            + f"daemon off;\nworker_processes 1;\npid {self.folder / 'nginx.pid'};\nerror_log stderr;\nevents {{}}\n"
            + f"http {{\n    access_log off;\n{paths}    include {self.folder / 'queuey.conf'};\n}}\n"
        )
        return [str(self.found), "-p", str(self.folder), "-c", str(main), "-e", "stderr"]

    def test_refusals_are_json(self) -> None:
        """What never gets to the daemon is refused in its way, be it no HTTP at all."""
        self.serve_behind()
        for head in (b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n", b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * 70_000)):
            connection = self.connect()
            connection.connect()
            connection.sock.sendall(head)
            answer = http.client.HTTPResponse(connection.sock)
            answer.begin()
            self.assertIn(answer.status, (400, 414))
            self.assertEqual(answer.getheader("Content-Type"), "application/json")
            self.assertEqual(json.loads(answer.read())["status"], "error")


class HAProxyTests(proxies.ProxyTestCase):
    """HAProxy, whose sample is its whole file."""

    program = "haproxy"

    def command(self) -> list[str]:
        both = self.folder / "both.pem"
        both.write_text(self.certificate.read_text() + self.key.read_text())
        replacements = {
            "    log /dev/log local0\n    user haproxy\n    group haproxy\n": "",
            "maxconn 10000": "maxconn 100",
            "    bind [::]:443 v6only ssl crt /etc/haproxy/queuey.pem alpn http/1.1\n": "",
            "bind :443 ": f"bind 127.0.0.1:{self.front} ",
            "/etc/haproxy/queuey.pem": str(both),
            "127.0.0.1:5000 ": f"127.0.0.1:{self.port} ",
        }
        settings = self.folder / "haproxy.cfg"
        settings.write_text(sample("haproxy/queuey.cfg", replacements))
        return [str(self.found), "-db", "-f", str(settings)]
