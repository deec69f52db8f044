#!/bin/sh
# Installs packages of npm, of the versions in package-lock.json.
#
#   npm.sh FOR FOLDER   installs what package-lock.json in FOLDER lists; where there is no Node.js or no npm it says that
#                       FOR is skipped, and that is no error
set -eu
purpose=$1
cd "$2"

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    echo "$purpose: skipped, there is no Node.js here, or no npm"
    exit
fi
# npm writes this file when it has installed everything.
[ -e node_modules/.package-lock.json ] && [ ! package-lock.json -nt node_modules/.package-lock.json ] && exit
echo "installing what this needs: $purpose"
output=$(mktemp)
trap 'rm -f "$output"' EXIT
if ! npm ci --ignore-scripts --no-audit --no-fund </dev/null >"$output" 2>&1; then
    cat "$output" >&2
    echo 'npm could not install it' >&2
    exit 1
fi
touch node_modules/.package-lock.json
