#!/usr/bin/env bash
# Makes every requirements/*.txt anew from its *.in: versions and hashes for every platform and Python ≥ 3.11.
# Versions that are already locked stay unless --upgrade is given.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet uv

for input in requirements/*.in; do
    output=${input%.in}.txt
    # No header and no annotations: neither the command line nor an index address may end up in the file.
    "$scratch/venv/bin/uv" pip compile "$input" --output-file "$output" --quiet \
        --universal --python-version 3.11 --generate-hashes --no-build \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links "$@"
    if grep -nE '://|--index|--find-links|--extra' "$output"; then
        echo "lock.sh: $output names a host; a lock file must work with any registry" >&2
        exit 1
    fi
    echo "$output: $(grep -cE '^[a-zA-Z]' "$output") packages"
done
