# Runs AsyncUV beside raw libuv, and beside whatever else is there, and writes down what came out: see `scripts/bench --help`, which builds what this needs.
"""Every sample of a program is followed at once by one of raw libuv, and a ratio is the median of these pairs: the speed of a machine drifts, more so of a virtual one.

A sample is noisy if other processes used more than 0.15 of a processor while it ran. Each cell is tried until it has so many quiet samples as were asked for, at most twice as
often; the quietest are kept. The server and every task workload are on one processor, the load generator is on another.
"""
import argparse
import json
import os
import platform
import shlex
import socket
import statistics
import subprocess
import sys
import time

import figures

BASE = "libuv"
NOISE_LIMIT = 0.15

# What others may be in a folder of peers, by these names; any other executable there takes part too.
KNOWN_PEERS = ["tokio", "go", "uvloop", "asyncio", "node", "nio", "nio-async", "swift"]

ECHO = {  # workload: arguments of the load generator
    "echo-64x1k": "--conns 64 --size 1024",
    "echo-1000x1k": "--conns 1000 --size 1024",
    "echo-64x16k": "--conns 64 --size 16384",
    "echo-16x100k": "--conns 16 --size 102400",
    "echo-64x1k-p16": "--conns 64 --size 1024 --pipeline 16",
    # The load generator on the server's processor: otherwise it is the waking of an idle one that is measured.
    "echo-1x1b-1cpu": "--conns 1 --size 1",
    "churn-64x1k": "--conns 64 --size 1024 --mode churn",
    "hold-5000": "--conns 5000 --size 1024 --mode hold",
}
TASKS = {  # workload: command line, on one processor?
    "spawn": ("spawn 1000000 1000", True),
    "yield2": ("yield2 1000000", True),
    "yieldmany": ("yieldmany 1000 1000", True),
    "sleep-100k": ("sleep 100000 1000", True),
    "sleep-1m": ("sleep 1000000 1000", True),
    "cancel": ("cancel 100000", True),
    "queue": ("queue 1000000 64", True),
    "wake": ("wake 1000000", False),
    "wakert": ("wakert 20000", False),
}
OWN = {  # what others have no word for: no ratios
    "group": ("group 300000 1000", True),
    "gather": ("gather 300000 1000", True),
    "timeout": ("timeout 250000", True),
    "lock": ("lock 1000000 2", True),
    "call": ("call 20000", False),
    "accept": ("accept 20000 500", True),
    "broadcast": ("broadcast 100 1000", True),
    "lines": ("lines 1000000 80", True),
}
CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, CLIENT_CPU = CPUS[0], CPUS[min(1, len(CPUS) - 1)]


def on_cpu(cpu):
    return (lambda: os.sched_setaffinity(0, [cpu])) if cpu is not None else None


def cpu_times():
    """Busy and stolen seconds of all processors."""
    with open("/proc/stat") as file:
        v = [int(x) / os.sysconf("SC_CLK_TCK") for x in file.readline().split()[1:]]
    return v[0] + v[1] + v[2] + v[5] + v[6] + v[7]


def await_quiet(limit):
    """Waits until the machine has been idle for 0.15 s, at most so many seconds."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        busy = cpu_times()
        time.sleep(0.15)
        if cpu_times() - busy <= 0.04:
            return


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Failed(Exception):
    pass


class Absent(Exception):
    """The program does not have the workload: it ends with status 64 then."""


def last_line(text, name):
    lines = text.strip().splitlines()
    if not lines:
        raise Failed(f"{name} printed nothing")
    return json.loads(lines[-1])


def echo_sample(command, workload, opt):
    port = free_port()
    server = subprocess.Popen(
        shlex.split(command.format(port=port)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=on_cpu(SERVER_CPU))
    try:
        time.sleep(0.1)
        if server.poll() == 64:
            raise Absent()
        client = SERVER_CPU if workload.endswith("-1cpu") else CLIENT_CPU
        done = subprocess.run(
            [opt.loadgen, "--port", str(port), "--pid", str(server.pid), "--time", str(opt.time), "--warmup", "0.2"] + shlex.split(ECHO[workload]),
            capture_output=True, text=True, timeout=60, preexec_fn=on_cpu(client))
        if server.poll() is not None:
            raise Failed(f"the server ended with status {server.returncode}")
        if done.returncode:
            raise Failed(done.stderr.strip()[-200:])
        sample = last_line(done.stdout, "loadgen")
    except subprocess.TimeoutExpired:
        raise Failed("not done within 60 s")
    finally:
        server.kill()
        server.wait()
    sample["noise"] = (sample.get("other_cpu_s", 0) + sample.get("steal_s", 0)) / sample.get("seconds", 1)
    return sample


def task_sample(command, pinned):
    def children():
        t = os.times()
        return t.children_user + t.children_system

    busy, used, began = cpu_times(), children(), time.monotonic()
    try:
        done = subprocess.run(
            shlex.split(command), capture_output=True, text=True, timeout=120, preexec_fn=on_cpu(SERVER_CPU) if pinned else None)
    except subprocess.TimeoutExpired:
        raise Failed("not done within 120 s")
    seconds, used = time.monotonic() - began, children() - used
    if done.returncode == 64:
        raise Absent()
    if done.returncode:
        raise Failed((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1][-200:])
    sample = last_line(done.stdout, command)
    sample["noise"] = max(0, (cpu_times() - busy - used) / max(seconds, 0.05))
    return sample


def commands_for(workload, opt):
    """Of every program that has the workload: name and command."""
    bench = f"{opt.products}/bench"
    if workload in ECHO:
        out = {
            BASE: f"{opt.libuv} echo {{port}}", "asyncuv": f"{bench} echo-streams {{port}}", "asyncuv-bytes": f"{bench} echo {{port}}",
            "EchoServer": f"{opt.products}/EchoServer --port {{port}}",
        }
        line = "echo {port}"
    elif workload in TASKS:
        line = TASKS[workload][0]
        out = {BASE: f"{opt.libuv} {line}", "asyncuv": f"{bench} {line}"}
        if workload == "spawn":
            out["task-bare"] = f"{bench} spawn-bare 1000000 1000"
    else:
        out, line = {"asyncuv": f"{bench} {OWN[workload][0]}"}, None
    if line:
        out.update({name: f"{path} {line}" for name, path in opt.peer_paths.items()})
    return {name: command for name, command in out.items() if name == BASE or not opt.programs or name in opt.programs.split(",")}


def measure_workload(workload, opt):
    commands = commands_for(workload, opt)
    key = figures.metric(workload)

    def sample(name):
        await_quiet(opt.wait)
        if workload in ECHO:
            return echo_sample(commands[name], workload, opt)
        return task_sample(commands[name], {**TASKS, **OWN}[workload][1])

    kept = {name: [] for name in commands}
    failures = {name: 0 for name in commands}
    tries = {name: 0 for name in commands}
    while True:
        todo = [
            name for name in commands if name != BASE and failures[name] < 2 and tries[name] < 2 * opt.reps
            and sum(s["noise"] <= NOISE_LIMIT for s in kept[name]) < opt.reps]
        if not todo:
            break
        for name in todo:
            tries[name] += 1
            try:
                one = sample(name)
                if BASE in commands:
                    base = sample(BASE)
                    kept[BASE].append(base)
                    one["noise"] = max(one["noise"], base["noise"])
                    one["ratio"] = one[key] / base[key] if base.get(key) else None
                kept[name].append(one)
            except Absent:
                tries[name] = 2 * opt.reps
            except Failed as failure:
                failures[name] += 1
                print(f"# {workload}, {name}: {failure}", file=sys.stderr)
    cells = {}
    for name, samples in kept.items():
        if name != BASE:
            samples = sorted(samples, key=lambda s: s["noise"])[:opt.reps]
        if samples:
            cells[name] = summary(samples)
    return cells


def summary(samples):
    """Medians of everything that is a number; of ratios the range too."""
    out = {"n": len(samples)}
    for key in sorted({k for s in samples for k, v in s.items() if isinstance(v, (int, float))} - {"n", "port", "conns", "size", "pipeline"}):
        out[key] = round(statistics.median([s[key] for s in samples if s.get(key) is not None]), 4)
    ratios = [s["ratio"] for s in samples if s.get("ratio") is not None]
    if ratios:
        out["ratio_min"], out["ratio_max"] = round(min(ratios), 4), round(max(ratios), 4)
    return out


def first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()
    except (OSError, IndexError, subprocess.CalledProcessError):
        return "unknown"


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/cpuinfo") as file:
        virtual = "hypervisor" in file.read()
    swift = first_line("swift", "--version").split("version ")[-1].split(" ")[0]
    return {
        "processor": model, "processors": len(CPUS), "virtual": virtual, "system": f"Linux {platform.release().split('-')[0]}, {platform.machine()}",
        "swift": swift, "libuv": first_line("pkg-config", "--modversion", "libuv"), "commit": first_line("git", "rev-parse", "--short", "HEAD"),
    }


def find_peers(opt):
    """The programs in the folder of peers; says which of those that are known are not there."""
    found = {}
    if opt.peers:
        for name in sorted(os.listdir(opt.peers)):
            path = os.path.join(os.path.abspath(opt.peers), name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                found[name] = path
    missing = [name for name in KNOWN_PEERS if name not in found]
    if missing:
        print(f"# left out, because they are not in {opt.peers or 'a folder of peers (--peers FOLDER)'}: {', '.join(missing)}", file=sys.stderr)
    return found


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Builds AsyncUV, raw libuv in C and a load generator, runs them side by side, and prints tables with the ratios to raw libuv. "
        "A run of all workloads and programs writes the figures to docs/benchmarks.json, and with them the chart docs/benchmarks.svg and the table in README.md.")
    parser.add_argument("-w", "--workloads", default="all", help="names with commas between, or echo, tasks, own, all")
    parser.add_argument("-p", "--programs", help="only these, with commas between: asyncuv (echo by arrays), asyncuv-bytes, EchoServer, task-bare, and what is in FOLDER; libuv always")
    parser.add_argument("-r", "--reps", type=int, default=5, help="samples of each cell (5)")
    parser.add_argument("--quick", action="store_true", help="one short sample of each cell, without sleep-1m: a look, not a measurement; writes nothing")
    parser.add_argument("--add", action="store_true", help="write what was measured of some into the file, in the place of what it has of them")
    parser.add_argument("--peers", metavar="FOLDER", help="a folder of other programs: each executable in it is run as `PROGRAM WORKLOAD [A [B]]`, just as bench")
    parser.add_argument("--list", action="store_true", help="list the workloads")
    parser.add_argument("--draw", action="store_true", help="run nothing: make chart and table again from the file")
    parser.add_argument("--check", action="store_true", help="run nothing: fail unless chart and table are what the file makes them")
    parser.add_argument("--take", metavar="FILE", help="run nothing: put the figures of FILE into docs/benchmarks.json, in the place of what it has of them, and draw")
    for name in ("products", "libuv", "loadgen", "last"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    opt = parser.parse_args()
    everything = {**ECHO, **TASKS, **OWN}
    if opt.list:
        print("\n".join(f"{name:<16} {figures.label(name)}" for name in everything))
        return
    if opt.draw or opt.check:
        sys.exit(figures.check() if opt.check else figures.draw())

    if opt.take:
        sys.exit(figures.take(opt.take))

    groups = {"all": everything, "echo": ECHO, "tasks": TASKS, "own": OWN}
    workloads = [w for given in opt.workloads.split(",") for w in groups.get(given, [given])]
    for workload in workloads:
        if workload not in everything:
            print(f"scripts/bench: there is no workload '{workload}'; --list lists them", file=sys.stderr)
            sys.exit(64)
    opt.time, opt.wait = (0.3, 0) if opt.quick else (0.6, 3)
    if opt.quick:
        opt.reps = 1
        workloads = [w for w in workloads if w != "sleep-1m"]
    opt.peer_paths = find_peers(opt)

    writes = not opt.quick and ((opt.workloads == "all" and not opt.programs) or opt.add)
    result = figures.read() if writes and opt.add else {"workloads": {}}
    result["machine"] = machine()
    for workload in workloads:
        cells = measure_workload(workload, opt)
        result["workloads"].setdefault(workload, {}).update(cells)
        print(figures.workload_table(workload, cells), flush=True)
        # After each: a run that is ended early has not been for nothing.
        figures.write(result, figures.FILE if writes else opt.last)
    if writes:
        sys.exit(figures.draw())
    print(f"\nnot published, but kept in {os.path.relpath(opt.last)}: scripts/bench --take {os.path.relpath(opt.last)} adds it to docs/benchmarks.json", file=sys.stderr)


main()
