#!/usr/bin/env bash
# A throw-away PostgreSQL for tests: its own cluster, loopback and a unix socket only, durable settings as in production.
#
#   tools/postgres.sh start   makes and starts it where none runs; prints its URL
#   tools/postgres.sh url     prints the URL of the running one, else fails
#   tools/postgres.sh stop    stops it and removes its files
#   tools/postgres.sh restart stops it in order, as an upgrade does, and starts it again at the same place
#   tools/postgres.sh halt    ends it at once, as a crash does; its files stay
#   tools/postgres.sh resume  starts it again after that, at the same place
#
# `start` and `stop` may be repeated. PostgreSQL refuses to run as root: called by root, it runs as user `postgres`.
set -euo pipefail

cache=${STRONGBACK_CACHE:-$HOME/.cache/strongback}
state=$cache/postgres.state # line 1: folder, line 2: URL

say() { printf 'postgres: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
as_owner() { if [[ $EUID -eq 0 ]]; then (cd / && exec runuser -u postgres -- "$@"); else "$@"; fi; }

# Prints the folder of the server programs; Debian keeps them off the PATH.
find_bin() {
    local initdb
    for initdb in "$(command -v initdb || true)" $(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -Vr); do
        [[ -x $initdb ]] && dirname "$(readlink -f "$initdb")" && return
    done
    return 1
}

install_debian() {
    [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null \
        || die "no initdb found; install PostgreSQL 14 or newer (on Debian: apt-get install postgresql)."
    say "installing Debian's PostgreSQL"
    # The package would start a cluster of its own, which nobody asked for.
    mkdir -p /etc/postgresql-common
    [[ -e /etc/postgresql-common/createcluster.conf ]] || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql; } >&2 \
        || die "apt-get could not install postgresql; install PostgreSQL 14 or newer by hand."
}

running_url() {
    [[ -f $state ]] || return 1
    local folder url
    { read -r folder; read -r url; } <"$state"
    local bin
    bin=$(find_bin) || return 1
    # Asked, not looked up: the process of a killed server may linger.
    "$bin/pg_isready" --quiet --timeout=5 --dbname="$url" && echo "$url"
}

# A folder that the owner of the server can reach: below the cache, or below the temporary folder where the cache is closed to it.
make_folder() {
    mkdir -p "$cache"
    local parent=$cache
    as_owner test -x "$cache" || parent=${TMPDIR:-/tmp}
    local folder
    folder=$(mktemp -d "$parent/strongback-postgres-XXXXXX")
    [[ $EUID -eq 0 ]] && chown postgres "$folder"
    echo "$folder"
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

start() {
    running_url && return
    stop # of one that was killed, the files
    local bin
    bin=$(find_bin) || { install_debian; bin=$(find_bin) || die "initdb is still missing after the installation."; }
    local folder password port
    folder=$(make_folder)
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    ( umask 077; echo "$password" >"$folder/password" )
    [[ $EUID -eq 0 ]] && chown postgres "$folder/password"
    as_owner "$bin/initdb" -D "$folder/data" --locale=C --encoding=UTF8 --username=strongback --auth=scram-sha-256 \
        --pwfile="$folder/password" >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log" >&2; die "initdb failed."; }
    cat >>"$folder/data/postgresql.conf" <<EOF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$folder'
max_connections = 200
fsync = on
synchronous_commit = on
timezone = 'UTC'
EOF
    local attempt
    for attempt in 1 2 3; do # another process may take the port between the look and the start
        port=$(free_port)
        # 9 is the lock below: the server must not inherit it.
        if as_owner "$bin/pg_ctl" start -w -t 60 -D "$folder/data" -l "$folder/data/server.log" -o "-p $port" >/dev/null 9>&-; then
            local url=postgres://strongback:$password@127.0.0.1:$port/postgres
            ( umask 077; printf '%s\n%s\n' "$folder" "$url" >"$state" )
            say "$("$bin/postgres" --version) on port $port"
            echo "$url"
            return
        fi
    done
    tail -20 "$folder/data/server.log" >&2
    die "the server did not start."
}

stop() {
    [[ -f $state ]] || return 0
    local folder bin
    read -r folder <"$state"
    # At once: what it would still write is removed anyway, and on a busy machine that takes longer than anybody waits.
    bin=$(find_bin) && as_owner "$bin/pg_ctl" stop -w -t 60 -m immediate -D "$folder/data" >/dev/null 2>&1 || true
    case $folder in */strongback-postgres-??????) rm -rf "$folder" ;; esac
    rm -f "$state"
}

on_state() {
    local folder url bin
    [[ -f $state ]] || die "none was started."
    { read -r folder; read -r url; } <"$state"
    bin=$(find_bin) || die "no initdb found."
    "$@" >/dev/null 9>&-
}
halt() { as_owner "$bin/pg_ctl" stop -w -t 15 -m immediate -D "$folder/data"; }
resume() { as_before start; }
restart() { as_before restart -m fast; }
as_before() {
    local port=${url##*:}
    as_owner "$bin/pg_ctl" "$@" -w -t 60 -D "$folder/data" -l "$folder/data/server.log" -o "-p ${port%%/*}"
}

mkdir -p "$cache"
exec 9>"$cache/postgres.lock"
flock 9
case ${1:-} in
    start) start ;;
    url) running_url || die "none is running; 'tools/postgres.sh start' makes one." ;;
    stop) stop ;;
    restart) on_state restart ;;
    halt) on_state halt ;;
    resume) on_state resume ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
