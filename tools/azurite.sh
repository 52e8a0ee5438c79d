#!/usr/bin/env bash
# Prints the path of Azurite's blob server, Microsoft's stand-in for Azure Blob Storage that some tests of clients start.
# It is installed by npm from requirements/azurite, outside the checkout and keyed on its lock file, without running anything of
# a package. Exit code 3: there is no npm here, or it reached no registry.
#
# To lock other versions: change package.json there, then, beside it,
#   npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved --no-fund
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${STRONGBACK_CACHE:-$HOME/.cache/strongback}
source=requirements/azurite

say() { printf 'azurite: %s\n' "$*" >&2; }

key=$(cat "$source/package.json" "$source/package-lock.json" | sha256sum | cut -c1-12)
dir=$cache/azurite-$key
server=$dir/node_modules/.bin/azurite-blob
mkdir -p "$cache"
exec 9>"$cache/azurite.lock"
flock 9 # two installations at once would write over each other

# What is there was moved there whole.
if [[ ! -x $server ]]; then
    command -v npm >/dev/null || { say "no npm found; install Node 22 or newer"; exit 3; }
    say "installing it into $dir (60 MB; the first time takes half a minute)"
    new=$dir.new log=$cache/azurite.log
    rm -rf "$new"
    mkdir -p "$new"
    cp "$source/package.json" "$source/package-lock.json" "$new"
    if ! npm ci --prefix "$new" --ignore-scripts --no-audit --no-fund --fetch-retries 1 >"$log" 2>&1; then
        if grep -qE 'ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET|network|E40[0-9]|E5[0-9][0-9]' "$log"; then
            say "no npm registry could be reached, or it lacks a locked package (npm's output: $log)"
            exit 3
        fi
        tail -3 "$log" >&2
        say "npm failed; its output is in $log"
        exit 1
    fi
    mv "$new" "$dir"
fi
echo "$server"
