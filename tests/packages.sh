#!/bin/sh
# Sees to it that programs of Debian are there, without starting any service.
#
#   packages.sh FOR PROGRAM=PACKAGE...   installs the packages of which the program, or the file, is not there, where that
#                                        can be done; elsewhere it says what FOR lacks, and that is no error
set -eu
PATH=$PATH:/usr/sbin:/sbin
purpose=$1
shift

missing=
for pair; do
    program=${pair%%=*}
    [ -e "$program" ] || command -v "$program" >/dev/null || missing="$missing ${pair#*=}"
done
[ -n "$missing" ] || exit 0

distribution() {
    [ -r /etc/os-release ] && (. /etc/os-release && echo "${ID:-unknown}") || echo unknown
}

if ! command -v apt-get >/dev/null || [ "$(distribution)" != debian ]; then
    echo "$purpose lacks what Debian has as:$missing"
    exit 0
elif [ "$(id -u)" != 0 ]; then
    echo "$purpose lacks what only root can install: apt-get install$missing"
    exit 0
fi

echo "installing$missing"
# Debian asks this program before it starts a service. One that is there is put back.
policy=/usr/sbin/policy-rc.d
output=$(mktemp)
kept=$(mktemp)
[ ! -e "$policy" ] || cp -p "$policy" "$kept"
clean_up() {
    if [ -s "$kept" ]; then cp -p "$kept" "$policy"; else rm -f "$policy"; fi
    rm -f "$output" "$kept"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
# Another apt-get may be at work, since the machine has just been started; and one mirror of many may not answer.
apt='apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3'
if ! { $apt update && $apt install -y --no-install-recommends $missing; } </dev/null >"$output" 2>&1; then
    cat "$output" >&2
    echo "could not be installed:$missing" >&2
    exit 1
fi
