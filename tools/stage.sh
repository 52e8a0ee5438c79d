# Shared by the scripts of this folder: `stage NAME COMMAND…` runs a command under a headline and says how long it took.
# A command of several steps joins them by `&&`: behind a test, bash lets a failing step of a function pass.
stage() {
    local name=$1 started=$SECONDS status=0
    shift
    printf '\n── %s\n' "$name"
    "$@" || status=$?
    if [[ $status -ne 0 ]]; then
        printf '── %s FAILED after %d s (exit code %d)\n' "$name" $((SECONDS - started)) "$status" >&2
        exit "$status"
    fi
    printf '── %s: %d s\n' "$name" $((SECONDS - started))
}
