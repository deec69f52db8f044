#!/bin/sh
# Installs packages of PHP.
#
#   composer.sh FOR FOLDER   installs what composer.json in FOLDER lists; where there is no PHP, no Composer, or no way to
#                            the packages, it says that FOR is skipped, and that is no error
set -eu
purpose=$1
cd "$2"

if ! command -v php >/dev/null || ! command -v composer >/dev/null; then
    echo "$purpose: skipped, there is no PHP here, or no Composer"
    exit
fi
[ -e vendor/autoload.php ] && [ ! composer.json -nt vendor/autoload.php ] && exit
echo "installing what this needs: $purpose"
if ! COMPOSER_ALLOW_SUPERUSER=1 timeout 120 composer install --no-interaction --no-scripts --no-dev \
    --quiet </dev/null >/dev/null 2>&1; then
    echo "$purpose: skipped, Composer could not install it"
    exit
fi
touch vendor/autoload.php
