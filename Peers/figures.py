# What was measured, as tables and as a chart: the same figures always give the same text. Used by Peers/compare.py.
import json
import math
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FILE = os.path.join(ROOT, "docs", "benchmarks.json")
CHART = os.path.join(ROOT, "docs", "benchmarks.svg")
README = os.path.join(ROOT, "README.md")
BEGIN, END = "<!-- figures of scripts/bench: begin -->", "<!-- figures of scripts/bench: end -->"

# Workload: what it is, what is compared (lower is better), its unit.
ROWS = {
    "echo-64x1k": ("echo, 64 connections of 1 KiB", "server_cpu_us_per_req", "µs CPU a request"),
    "echo-1000x1k": ("echo, 1,000 of 1 KiB", "server_cpu_us_per_req", "µs CPU a request"),
    "echo-64x16k": ("echo, 64 of 16 KiB", "server_cpu_us_per_req", "µs CPU a request"),
    "echo-16x100k": ("echo, 16 of 100 KiB", "server_cpu_us_per_req", "µs CPU a request"),
    "echo-64x1k-p16": ("echo, 64 of 1 KiB, 16 requests on their way", "server_cpu_us_per_req", "µs CPU a request"),
    "echo-1x1b-1cpu": ("echo, one connection, 1 byte", "server_cpu_us_per_req", "µs CPU a request"),
    "churn-64x1k": ("connect, echo, close", "server_cpu_us_per_req", "µs CPU a connection"),
    "hold-5000": ("an idle connection, with its task", "bytes_per_conn", "bytes"),
    "spawn": ("create and await a task", "cpu_ns_per_op", "ns CPU"),
    "yield2": ("yield, 2 tasks", "cpu_ns_per_op", "ns CPU"),
    "yieldmany": ("yield, 1,000 tasks", "cpu_ns_per_op", "ns CPU"),
    "sleep-100k": ("100,000 tasks asleep", "cpu_ns_per_op", "ns CPU a task"),
    "sleep-1m": ("1,000,000 tasks asleep", "cpu_ns_per_op", "ns CPU a task"),
    "cancel": ("cancel a sleeping task, to its end", "cpu_ns_per_op", "ns CPU"),
    "queue": ("an item through a bounded queue", "cpu_ns_per_op", "ns CPU"),
    "wake": ("a post from another thread", "ns_per_op", "ns"),
    "wakert": ("the same, one at a time with a reply", "ns_per_op", "ns"),
    "group": ("a task in a group of 1,000", "cpu_ns_per_op", "ns CPU"),
    "gather": ("a task gathered with 1,000 others", "cpu_ns_per_op", "ns CPU"),
    "timeout": ("a successful operation under a timeout", "cpu_ns_per_op", "ns CPU"),
    "lock": ("a lock handed to the next task", "cpu_ns_per_op", "ns CPU"),
    "call": ("a task on another thread's loop, and its value", "ns_per_op", "ns"),
    "accept": ("connect, accept and break off, both ends", "cpu_ns_per_op", "ns CPU"),
    "broadcast": ("a message to one of 1,000 connections, both ends", "cpu_ns_per_op", "ns CPU"),
    "lines": ("a line of 80 bytes read, both ends", "cpu_ns_per_op", "ns CPU"),
}
NAMES = {
    "libuv": "libuv in C", "asyncuv": "AsyncUV", "asyncuv-bytes": "AsyncUV, without a copy", "task-bare": "bare Task, same loop", "tokio": "Tokio", "go": "Go",
    "asyncio": "asyncio", "node": "Node", "nio": "SwiftNIO handler", "nio-async": "SwiftNIO async", "swift": "native Swift",
}
COLUMNS = {
    "echo": ["req_s", "server_cpu_us_per_req", "p50_us", "p99_us", "p999_us", "server_util", "client_util", "max_rss_kb"],
    "hold": ["bytes_per_conn_open", "bytes_per_conn", "rss_base_kb"],
    "task": ["ns_per_op", "cpu_ns_per_op", "overhead_ms", "bytes_per_task", "max_rss_kb"],
}


def label(workload):
    return ROWS[workload][0]


def metric(workload):
    return ROWS[workload][1]


def number(x):
    if x is None:
        return "-"
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}"


def markdown(rows):
    head = [rows[0], ["---"] + ["---:"] * (len(rows[0]) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in head + rows[1:]) + "\n"


def workload_table(workload, cells):
    """All that was measured of one workload, the best first."""
    key = metric(workload)
    columns = [c for c in COLUMNS[workload.split("-")[0] if workload.split("-")[0] in ("echo", "hold") else "echo" if workload.startswith("churn") else "task"]
               if any(c in cell for cell in cells.values())]
    rows = [["program", "ratio to libuv"] + columns + ["samples", "noise"]]
    for name, cell in sorted(cells.items(), key=lambda item: item[1].get(key, 0)):
        ratio = f"{cell['ratio']:.2f} ({cell['ratio_min']:.2f}-{cell['ratio_max']:.2f})" if "ratio" in cell else "1" if name == "libuv" else "-"
        rows.append([name, ratio] + [number(cell.get(c)) for c in columns] + [str(cell["n"]), f"{cell['noise']:.2f}"])
    return f"\n### {workload}: {label(workload)}; ratio of {key}\n\n" + markdown(rows)


def read(path=FILE):
    if path == FILE and not os.path.exists(path):
        return {"workloads": {}}
    with open(path) as file:
        return json.load(file)


def write(result, path=FILE):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        json.dump(result, file, indent=1, sort_keys=True)
        file.write("\n")


def others(result):
    """What is compared besides libuv and AsyncUV, in order."""
    present = {name for cells in result["workloads"].values() for name in cells} - {"libuv", "asyncuv", "task-bare"}
    order = list(NAMES)
    return sorted(present, key=lambda name: (order.index(name) if name in order else len(order), name))


def readme_part(result):
    machine, work = result["machine"], result["workloads"]
    columns = others(result)
    rows = [["what", "unit", "libuv in C", "AsyncUV", "ratio (lowest to highest)"] + [NAMES.get(name, name) for name in columns]]
    own = [["what", "AsyncUV", "unit"]]
    for workload in ROWS:
        cells = work.get(workload, {})
        ours, base = cells.get("asyncuv"), cells.get("libuv")
        if not ours:
            continue
        key, unit = ROWS[workload][1:]
        if not base:
            own.append([label(workload), number(ours[key]), unit])
            continue
        rows.append(
            [label(workload), unit, number(base[key]), number(ours[key]), f"{number(ours['ratio'])} ({number(ours['ratio_min'])} to {number(ours['ratio_max'])})"]
            + [number(cells[name]["ratio"]) if name in cells and "ratio" in cells[name] else "" for name in columns])
        if workload == "cancel" and base.get("bytes_per_task"):
            rows.append(
                ["a sleeping task", "bytes", number(base["bytes_per_task"]), number(ours["bytes_per_task"]), number(ours["bytes_per_task"] / base["bytes_per_task"])]
                + [number(cells[name]["bytes_per_task"] / base["bytes_per_task"]) if cells.get(name, {}).get("bytes_per_task") else "" for name in columns])

    def least(chosen):
        return min((cell["n"] for cells in work.values() for name, cell in cells.items() if chosen(name)), default=0)

    def busiest(chosen):
        return max((cell["noise"] for cells in work.values() for name, cell in cells.items() if chosen(name)), default=0)

    ours, theirs = (lambda name: name.startswith("asyncuv")), (lambda name: name in set(columns) - {"asyncuv-bytes", "EchoServer"})
    pairs = f"at least {least(ours)} such pairs" + (f" ({least(theirs)} for other programs)" if least(theirs) else "")
    text = (
        f"Measured on {machine['processors']} processors, {machine['processor']}{' (virtual)' if machine['virtual'] else ''}, {machine['system']}, Swift {machine['swift']}, "
        f"libuv {machine['libuv']}, release build of {machine['commit']}. Lower is better everywhere. Each sample is followed at once by one of raw libuv; a ratio is the median "
        f"of {pairs}; absolute figures are medians too and drift with the machine."
        + (f" Other processes used up to {busiest(lambda name: True):.1f} processors meanwhile: small differences mean nothing." if busiest(lambda name: True) > 0.15 else "")
        + "\n\n"
        "![AsyncUV beside raw libuv and others, as ratios](docs/benchmarks.svg)\n\n" + markdown(rows))
    bare, ours = work.get("spawn", {}).get("task-bare"), work.get("spawn", {}).get("asyncuv")
    if bare and ours:
        text += (
            f"\nA bare `Task(executorPreference:)` on the same loop costs {number(bare['cpu_ns_per_op'])} ns CPU, created and awaited: a LoopTask is "
            f"{ours['cpu_ns_per_op'] / bare['cpu_ns_per_op']:.2f} times that.\n")
    if len(own) > 1:
        text += "\nWithout a counterpart in C:\n\n" + markdown(own)
    return text


# Of Okabe and Ito: told apart by those too who see fewer colours.
COLOURS = ["#0072b2", "#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#8a8a8a", "#a07800", "#5c5c5c", "#66a61e", "#7570b3"]


def chart(result):
    """A row a workload; on it a dot a program, at its ratio to raw libuv, on a scale of tenfold steps."""
    work = result["workloads"]
    shown = [w for w in ROWS if work.get(w, {}).get("asyncuv", {}).get("ratio")]
    names = ["asyncuv"] + others(result)
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
    ratios = [cell["ratio"] for w in shown for name, cell in work[w].items() if cell.get("ratio")] or [1]
    low, high = min(0.5, min(ratios) * 0.8), max(4, max(ratios) * 1.25)
    left, right, row, top = 300, 60, 26, 76 + 18 * ((len(names) - 1) // 5)
    width = 960
    height = top + row * len(shown) + 46

    def x(ratio):
        return left + (width - left - right) * math.log(ratio / low) / math.log(high / low)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="Helvetica, Arial, sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        '<text x="16" y="26" font-size="17" fill="#1a1a1a">What it costs beside raw libuv in C (1 is as much; lower is better)</text>',
    ]
    for i, name in enumerate(names):
        at, y = 16 + 184 * (i % 5), 50 + 18 * (i // 5)
        out.append(f'<circle cx="{at + 6}" cy="{y - 4}" r="{6 if name == "asyncuv" else 5}" fill="{colour[name]}"/>')
        out.append(f'<text x="{at + 18}" y="{y}" fill="#1a1a1a">{NAMES.get(name, name)}</text>')
    bottom = top + row * len(shown)
    for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000):
        if low <= tick <= high:
            dark = tick == 1
            out.append(
                f'<line x1="{x(tick):.1f}" y1="{top - 6}" x2="{x(tick):.1f}" y2="{bottom}" stroke="{"#1a1a1a" if dark else "#dddddd"}" stroke-width="{1.5 if dark else 1}"/>')
            out.append(f'<text x="{x(tick):.1f}" y="{bottom + 18}" text-anchor="middle" fill="#555555">{tick:g}×</text>')
    for i, workload in enumerate(shown):
        y = top + row * i + row / 2
        out.append(f'<text x="{left - 14}" y="{y + 4:.1f}" text-anchor="end" fill="#1a1a1a">{label(workload)}</text>')
        out.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}" stroke="#eeeeee"/>')
        # Ours last, on top of the others.
        for name in reversed(names):
            cell = work[workload].get(name, {})
            if not cell.get("ratio"):
                continue
            if name == "asyncuv":
                out.append(
                    f'<line x1="{x(cell["ratio_min"]):.1f}" y1="{y:.1f}" x2="{x(cell["ratio_max"]):.1f}" y2="{y:.1f}" stroke="{colour[name]}" stroke-width="3" stroke-opacity="0.35"/>')
            out.append(f'<circle cx="{x(cell["ratio"]):.1f}" cy="{y:.1f}" r="{6 if name == "asyncuv" else 5}" fill="{colour[name]}" stroke="#ffffff"/>')
        out.append(f'<text x="{width - right + 8}" y="{y + 4:.1f}" fill="{colour["asyncuv"]}">{number(work[workload]["asyncuv"]["ratio"])}</text>')
    out.append(f'<text x="{width - right + 8}" y="{top - 10}" fill="{colour["asyncuv"]}" font-size="11">AsyncUV</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def readme_with(part):
    with open(README) as file:
        text = file.read()
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    return before + BEGIN + "\n" + part + END + after


def draw():
    result = read()
    with open(CHART, "w") as file:
        file.write(chart(result))
    text = readme_with(readme_part(result))
    with open(README, "w") as file:
        file.write(text)
    return 0


def take(path):
    """Adds the figures of another file. The machine is the one of that file."""
    result, more = read(), read(path)
    for workload, cells in more["workloads"].items():
        result["workloads"].setdefault(workload, {}).update(cells)
    result["machine"] = more["machine"]
    write(result)
    return draw()


def check():
    result, status = read(), 0
    for path, text in ((CHART, chart(result)), (README, readme_with(readme_part(result)))):
        with open(path) as file:
            if file.read() != text:
                print(f"{os.path.relpath(path, ROOT)} is not what docs/benchmarks.json makes it: scripts/bench --draw")
                status = 1
    if status == 0:
        print("chart and table are those of docs/benchmarks.json")
    return status
