#!/usr/bin/env bash
# Prints the path of a Chromium for the browser tests; installs Debian's where none is found and root may.
set -euo pipefail

say() { printf 'chromium: %s\n' "$*" >&2; }

find_chromium() {
    local name
    for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
        [[ -n $name ]] && command -v "$name" && return
    done
    return 1
}

find_chromium && exit
if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
    say "none found; install Chromium (on Debian: apt-get install chromium) or name one with CHROMIUM=…"
    exit 1
fi
say "installing Debian's Chromium"
{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >&2 || {
    say "apt-get could not install it; install Chromium by hand or name one with CHROMIUM=…"
    exit 1
}
find_chromium
