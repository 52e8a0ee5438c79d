# Shared by the scripts of this folder: `with_postgres COMMAND…` runs a command with STRONGBACK_TEST_POSTGRES_URL set, on a server
# that somebody named, or that is running already and stays, or that is started here and ends with the script.
# `at_exit COMMAND` adds to what is done when the script ends, whichever way.
exit_commands=()
at_exit() { exit_commands+=("$1"); }
run_exit_commands() { local each; for each in "${exit_commands[@]}"; do eval "$each"; done; }
trap run_exit_commands EXIT

with_postgres() {
    if [[ -z ${STRONGBACK_TEST_POSTGRES_URL:-} ]]; then
        tools/postgres.sh url >/dev/null 2>&1 || at_exit 'tools/postgres.sh stop'
        STRONGBACK_TEST_POSTGRES_URL=$(tools/postgres.sh start)
        export STRONGBACK_TEST_POSTGRES_URL
    fi
    "$@"
}
