#!/bin/sh
# Builds a Debian package of Queuey: sh etc/debian/build.sh [FOLDER], which is dist unless it says another one.
#
# The package has a virtual environment in /usr/lib/queuey with everything that the settings can ask for, made by the
# python3 of Debian. So it is for machines with the same release of Debian and the same kind of processor. Needs the
# packages python3-venv and dpkg, and the package index of Python; not root.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/etc/debian
mkdir -p "${1:-$root/dist}"
target=$(cd "${1:-$root/dist}" && pwd)
python=${PYTHON:-/usr/bin/python3}
home=/usr/lib/queuey
extras=tls,cassandra,thrift,identities,otel

"$python" -c '
import ensurepip, sys, venv
sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || {
    echo "$python is no Python of 3.11-3.13 with venv; Debian has it as python3-venv" >&2
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
umask 022
package=$work/package
pip="-m pip --disable-pip-version-check --quiet"

# From a copy, since a build leaves folders behind that get into the next one.
mkdir "$work/source"
(cd "$root" && cp -r setup.py pyproject.toml MANIFEST.in LICENSE README.rst constraints.txt queuey twisted etc client "$work/source")
find "$work/source" \( -name __pycache__ -o -name dropin.cache \) -prune -exec rm -rf {} +

echo 'building the wheels'
"$python" -m venv "$work/builder"
"$work/builder/bin/python" $pip install -c "$root/constraints.txt" setuptools
"$work/builder/bin/python" $pip wheel --no-deps --no-build-isolation --wheel-dir "$work" "$work/source" "$work/source/client"
wheel=$(echo "$work"/queuey-*.whl)
version=$(basename "$wheel" | cut -d - -f 2)
# What comes before a release is older than it: 2.0.0.dev0 is 2.0.0~dev0.
debian=$(printf '%s\n' "$version" | sed 's/\.\?\(dev\|a\|b\|rc\)\([0-9]*\)$/~\1\2/')-1

echo 'making the virtual environment, with what the package index has'
mkdir -p "$package$home"
"$python" -m venv --without-pip "$package$home"
"$work/builder/bin/python" $pip --python "$package$home/bin/python" install --no-compile \
    -c "$root/constraints.txt" "$wheel[$extras]" "$work"/queuey_client-*.whl
# The programs begin with the path of their Python, which is another one on the machine.
grep -lI "$package" "$package$home"/bin/* "$package$home/pyvenv.cfg" | xargs sed -i "s#$package##g"
rm -f "$package$home"/bin/activate* "$package$home"/bin/Activate*
# The daemon may not write there, so Twisted's list of plugins and the compiled modules are made now.
"$package$home/bin/python" -B -m twisted --help >/dev/null
"$python" -m compileall -qq -s "$package" -p / "$package$home/lib"

install -d "$package/usr/bin" "$package/lib/systemd/system" "$package/usr/lib/sysusers.d" "$package/usr/lib/tmpfiles.d" \
    "$package/etc/queuey" "$package/etc/default" "$package/etc/logrotate.d" "$package/usr/share/doc/queuey/examples" \
    "$package/DEBIAN"
ln -s "$home/bin/queuey" "$package/usr/bin/queuey"
for unit in queuey.service queuey.socket queuey@.service; do
    sed "s#/opt/queuey#$home#g" "$root/etc/systemd/$unit" >"$package/lib/systemd/system/$unit"
done
install -m 0644 "$root/etc/sysusers.d/queuey.conf" "$package/usr/lib/sysusers.d/queuey.conf"
install -m 0644 "$root/etc/tmpfiles.d/queuey.conf" "$package/usr/lib/tmpfiles.d/queuey.conf"
install -m 0640 "$root/etc/queuey.ini" "$package/etc/queuey/queuey.ini"
install -m 0644 "$root/etc/default/queuey" "$package/etc/default/queuey"
install -m 0644 "$root/etc/logrotate/queuey" "$package/etc/logrotate.d/queuey"
cp -r "$root/etc/nginx" "$root/etc/haproxy" "$root/etc/prometheus" "$root/etc/grafana" "$package/usr/share/doc/queuey/examples"
install -m 0644 "$root/LICENSE" "$package/usr/share/doc/queuey/copyright"
chmod -R u=rwX,go=rX "$package/usr/share/doc/queuey"

minor=$("$python" -c 'import sys; print(sys.version_info[1])')
cat >"$package/DEBIAN/control" <<END
Package: queuey
Version: $debian
Architecture: $(dpkg --print-architecture)
Maintainer: The Queuey developers
Installed-Size: $(du -sk "$package" | cut -f 1)
Depends: python3 (>= 3.$minor~), python3 (<< 3.$((minor + 1))), adduser, init-system-helpers
Suggests: logrotate
Section: net
Priority: optional
Description: RESTful message queue
 A daemon that keeps messages in named queues, an HTTP API to post and read
 them, and an embedded store. Any number of daemons can serve from Apache
 Cassandra instead.
END
(cd "$package" && find etc -type f | sed 's#^#/#' | sort) >"$package/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 0755 "$here/$script" "$package/DEBIAN/$script"
done
dpkg-deb --root-owner-group --build "$package" "$target/queuey_${debian}_$(dpkg --print-architecture).deb"
