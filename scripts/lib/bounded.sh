# For sourcing: `bounded SECONDS COMMAND…` runs a command, or a function, and ends all of its processes when its time is over; it says then what they were doing.

bounded_group=

# For an EXIT trap: what is interrupted by hand leaves nothing behind either.
kill_bounded() {
    [ -z "$bounded_group" ] || kill -KILL -- "-$bounded_group" 2>/dev/null || true
}

bounded() {
    local limit=$1 group watchdog status=0
    shift
    # A process group of its own, so that nothing of it is left behind.
    set -m
    (
        trap 'kill_echo 2>/dev/null' EXIT
        "$@"
    ) </dev/null &
    group=$!
    bounded_group=$group
    (
        sleep "$limit"
        echo "error: not done within $limit s; what still ran:"
        say_what_runs "$group"
        kill -KILL -- "-$group"
    ) &
    watchdog=$!
    set +m
    wait "$group" || status=$?
    kill -KILL -- "-$watchdog" 2>/dev/null
    wait "$watchdog" 2>/dev/null
    # What it has left running.
    kill_bounded
    bounded_group=
    return "$status"
}

# The processes of a group, and where the threads of the newest one are, if there is a debugger.
say_what_runs() {
    local newest
    ps -o pid,stat,etime,time,wchan:24,args -A --no-headers | awk -v group=" $(pgrep -g "$1" | tr '\n' ' ') " 'index(group, " " $1 " ")' | cut -c 1-200
    newest=$(pgrep -n -g "$1") || return 0
    [ -z "$(command -v gdb)" ] || timeout 60 gdb -p "$newest" -batch -ex 'set pagination off' -ex 'thread apply all backtrace 24' 2>/dev/null | grep -E '^(Thread|#)' | cut -c 1-220
}
