# For sourcing: `start_echo FILE COMMAND…` starts an echo daemon that is told to take a free port, and sets `server` and `port`; `stop_echo` ends it by SIGTERM; `kill_echo` at once.

server=
port=

start_echo() {
    local output=$1
    port=
    shift
    # Before the daemon does it, in a moment: what an earlier one has written there is not its port.
    : >"$output"
    "$@" >"$output" &
    server=$!
    for _ in $(seq 300); do
        port=$(sed -n 's/^listening on 127\.0\.0\.1:\([0-9][0-9]*\)$/\1/p' "$output")
        [ -z "$port" ] || return 0
        if ! kill -0 "$server" 2>/dev/null; then
            server=
            echo "error: EchoServer ended before it listened" >&2
            return 1
        fi
        sleep 0.1
    done
    echo "error: EchoServer did not say 'listening on 127.0.0.1:PORT' within 30 s" >&2
    return 1
}

# Succeeds if the daemon ends within 10 s, with status 0.
stop_echo() {
    local status=0 process=$server
    kill -TERM "$process"
    for _ in $(seq 100); do
        kill -0 "$process" 2>/dev/null || break
        sleep 0.1
    done
    if kill -0 "$process" 2>/dev/null; then
        echo "error: EchoServer still runs 10 s after SIGTERM" >&2
        return 1
    fi
    server=
    wait "$process" || status=$?
    [ "$status" -eq 0 ] || echo "error: EchoServer ended with status $status after SIGTERM" >&2
    return "$status"
}

kill_echo() {
    [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
}
