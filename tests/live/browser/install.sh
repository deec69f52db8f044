#!/bin/sh
# Sees to it that there is a Chromium for tests/live/browser/test_browser.py.
#
#   install.sh           installs Debian's, once, where that can be done; elsewhere it says why not, and that is no error
#   install.sh why-not   says why this machine cannot install it; nothing where it can
set -eu

distribution() {
    [ -r /etc/os-release ] && (. /etc/os-release && echo "${ID:-unknown}") || echo unknown
}

why_not() {
    if ! command -v apt-get >/dev/null; then
        echo 'there is no Chromium here, and no apt-get to install it with'
    elif [ "$(distribution)" != debian ]; then
        echo "there is no Chromium here, and the one that is tested with is Debian's"
    elif [ "$(id -u)" != 0 ]; then
        echo 'there is no Chromium here, and only root can install it: apt-get install chromium'
    fi
}

if [ "${1:-}" = why-not ]; then
    why_not
    exit
fi
command -v chromium >/dev/null && exit
reason=$(why_not)
if [ -n "$reason" ]; then
    echo "tests in a browser are skipped: $reason"
    exit
fi

echo 'installing chromium'
export DEBIAN_FRONTEND=noninteractive
# Another apt-get may be at work, since the machine has just been started; and one mirror of many may not answer.
apt='apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3'
output=$(mktemp)
trap 'rm -f "$output"' EXIT
if ! { $apt update && $apt install -y --no-install-recommends chromium; } </dev/null >"$output" 2>&1; then
    cat "$output" >&2
    echo 'chromium could not be installed' >&2
    exit 1
fi
