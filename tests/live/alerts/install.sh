#!/bin/sh
# Sees to it that there is a promtool for tests/live/alerts: one on PATH, or Debian's in bin/prometheus.
#
#   install.sh           fetches Debian's, once, where that can be done; elsewhere it says why not, and that is no error
#   install.sh why-not   says why this machine cannot have it; nothing where it can
#
# Only this program is taken out of the package "prometheus": to install the package starts a server on port 9090.
set -eu

distribution() {
    [ -r /etc/os-release ] && (. /etc/os-release && echo "${ID:-unknown}") || echo unknown
}

why_not() {
    if ! command -v apt-get >/dev/null; then
        echo 'there is no promtool here, and no apt-get to fetch it with'
    elif [ "$(distribution)" != debian ]; then
        echo "there is no promtool here, and the one that is tested with is Debian's"
    elif [ "$(id -u)" != 0 ]; then
        echo 'there is no promtool here, and only root can bring the lists of packages up to date to fetch it'
    fi
}

if [ "${1:-}" = why-not ]; then
    why_not
    exit
fi
command -v promtool >/dev/null && exit
folder=$(cd "$(dirname "$0")/../../.." && pwd)/bin/prometheus
[ -x "$folder/promtool" ] && exit
reason=$(why_not)
if [ -n "$reason" ]; then
    echo "tests of alerts are skipped: $reason"
    exit
fi

echo 'fetching promtool'
export DEBIAN_FRONTEND=noninteractive
# Another apt-get may be at work, since the machine has just been started; and one mirror of many may not answer.
apt='apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o APT::Sandbox::User=root'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
if ! { $apt update && $apt download prometheus && dpkg-deb --extract prometheus_*.deb unpacked; } </dev/null >output 2>&1
then
    cat output >&2
    echo 'promtool could not be fetched' >&2
    exit 1
fi
mkdir -p "$folder"
mv unpacked/usr/bin/promtool "$folder/promtool"
