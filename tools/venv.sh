#!/usr/bin/env bash
# Makes the Python environment of the tests, the demo and the benchmarks, or leaves it alone when it is current.
# It lies outside the checkout and is keyed on its lock file and on the Python that made it.
# Prints the environment's folder on stdout, progress on stderr:   venv=$(tools/venv.sh)
# With a name, the one of another lock file:   old=$(tools/venv.sh old)
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${STRONGBACK_CACHE:-$HOME/.cache/strongback}
name=${1:-client}
venv=$cache/venv
[[ $name == client ]] || venv=$cache/venv-$name
lock=requirements/$name.txt
python=${PYTHON:-python3}

say() { printf 'venv: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Debian keeps this part of Python in a package of its own.
install_debian() {
    [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null || die "'$python' cannot make environments (on Debian: apt-get install python3-venv)."
    say "installing Debian's python3-venv"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv; } >&2 \
        || die "apt-get could not install python3-venv; install it by hand, or name another Python with PYTHON=…"
}

command -v "$python" >/dev/null || die "no '$python' found; install Python 3.11 or newer, or name one with PYTHON=…"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "$("$python" -V) is too old; 3.11 or newer is needed (PYTHON=… names another)."

key=$({ cat "$lock"; "$python" -c 'import sys; print(sys.version, sys.base_prefix)'; } | sha256sum | cut -d' ' -f1)
mkdir -p "$cache"
exec 9>"$venv.lock"
flock 9 # two builds at once would write over each other

if [[ -f $venv/.key && $(<"$venv/.key") == "$key" ]]; then
    echo "$venv"
    exit 0
fi

total=$(grep -cE '^[a-zA-Z]' "$lock")
say "making $venv ($total packages from $lock; the first time takes some minutes)"
started=$SECONDS
log=$venv.log
rm -rf "$venv"
"$python" -c 'import ensurepip' 2>/dev/null || install_debian
"$python" -m venv "$venv" || die "'$python -m venv' failed (on Debian: apt-get install python3-venv)."

# The lock file is complete, so nothing needs resolving; wheels only, so that nothing of a package runs here.
progress='/^Collecting /{ n++; if (n % 10 == 0) printf "venv: %d of about %d packages fetched\n", n, total }
          /^Installing collected/{ print "venv: installing" } { fflush() }'
if ! "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --retries 2 --progress-bar off \
    --require-hashes --no-deps --only-binary :all: -r "$lock" 2>&1 | tee "$log" | awk -v total="$total" "$progress" >&2; then
    if grep -qFf examples/fraud/no_registry.txt "$log"; then
        die "no Python package registry could be reached, or it lacks a locked package; nothing was installed (pip's output: $log)."
    fi
    grep -E '^ERROR' "$log" | tail -3 >&2 || true
    die "pip failed; its output is in $log."
fi
echo "$key" >"$venv/.key"
say "ready after $((SECONDS - started)) s"
echo "$venv"
