#!/bin/sh
# Serves Queuey on Cassandra for "make run-cassandra":  run.sh TWISTD
#
# Where nothing answers on CQL's port, it starts bin/cassandra first, and stops it once Queuey has stopped: by Ctrl-C, or
# because this script is sent SIGINT, SIGTERM or SIGHUP. Queuey itself waits for Cassandra to serve; if the Cassandra that
# was started here ends, Queuey is stopped too, and the status is 1.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd -P)
twistd=$(cd "$(dirname "$1")" && pwd -P)/$(basename "$1")
port=$(sed -n 's/^native_transport_port: //p' "$root/bin/cassandra/conf/cassandra.yaml")
server= queuey=

# Whether something accepts connections there; twistd's Python is the one program that is certainly here.
answers() {
    "$(dirname "$twistd")/python" -c 'import socket; socket.create_connection(("127.0.0.1", '"$port"'), 2)' 2>/dev/null
}

# A node ends within seconds; one that does not is killed, which costs nothing that it acknowledged.
end_server() {
    trap '' INT TERM HUP
    [ -n "$server" ] && kill -2 "$server" 2>/dev/null || return 0
    echo 'stopping cassandra'
    left=60
    while kill -0 "$server" 2>/dev/null; do
        [ "$left" -gt 0 ] || kill -9 "$server"
        sleep 1
        left=$((left - 1))
    done
    rm -f "$root/cassandra.pid"
}

if ! answers; then
    trap end_server EXIT
    "$root/bin/cassandra/bin/cassandra" -p "$root/cassandra.pid"
    server=$(cat "$root/cassandra.pid")
fi

# In a session of its own, out of reach of a terminal: a signal gets to twistd once, from here, since a second one would
# have it cut off what is under way.
trap '[ -z "$queuey" ] || kill -TERM "$queuey" 2>/dev/null || :' INT TERM HUP
setsid env --default-signal=INT,QUIT "$twistd" --nodaemon --pidfile= queuey --config "$root/etc/queuey-cassandra.ini" &
queuey=$!
if [ -n "$server" ]; then
    (
        while kill -0 "$server" 2>/dev/null && kill -0 "$queuey" 2>/dev/null; do sleep 1; done
        kill -0 "$queuey" 2>/dev/null || exit 0
        echo "cassandra ended, so queuey is stopped; $root/cassandra/logs/system.log may tell why" >&2
        kill -TERM "$queuey"
    ) &
fi
status=0
wait "$queuey" || status=$?
# "wait" ends early when a signal comes.
while kill -0 "$queuey" 2>/dev/null; do
    status=0
    wait "$queuey" || status=$?
done
[ -z "$server" ] || kill -0 "$server" 2>/dev/null || status=1
exit "$status"
