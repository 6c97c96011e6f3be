// Task workloads, one JSON line each: bench WORKLOAD [A [B]].
import AsyncUV
import Foundation

struct Usage: Error {}

/// What one workload measured. Times are of the loop's thread; `count` is what one operation is.
struct Measurement {
    var count: Int
    var nanoseconds: Double
    var cpuNanoseconds: Double
    var extra: [(String, Double)] = []
}

func nanoseconds(_ clock: clockid_t) -> Double {
    var time = timespec()
    unsafe clock_gettime(clock, &time)
    return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
}

/// Resident memory in bytes.
func residentMemory(of process: String = "self") -> Double {
    guard let text = try? String(contentsOfFile: "/proc/\(process)/statm", encoding: .utf8) else { return 0 }
    let fields = text.split(separator: " ")
    return fields.count > 1 ? (Double(fields[1]) ?? 0) * Double(sysconf(Int32(_SC_PAGESIZE))) : 0
}

func measure(_ count: Int, _ body: () async throws -> Void) async throws -> Measurement {
    let wall = nanoseconds(CLOCK_MONOTONIC)
    let cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID)
    try await body()
    return Measurement(
        count: count, nanoseconds: nanoseconds(CLOCK_MONOTONIC) - wall, cpuNanoseconds: nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu)
}

/// Tasks that do nothing, in batches: created, then awaited.
func spawn(_ count: Int, batch: Int) async throws -> Measurement {
    try await measure(count) {
        for _ in 0..<count / batch {
            var tasks: [LoopTask<Void>] = []
            tasks.reserveCapacity(batch)
            for _ in 0..<batch { tasks.append(LoopTask {}) }
            for task in tasks { try await task.value }
        }
    }
}

/// The same with bare tasks of the standard library, on the same loop: what a LoopTask is measured against.
func spawnBare(_ count: Int, batch: Int) async throws -> Measurement {
    guard let loop = EventLoop.current else { throw Usage() }
    return try await measure(count) {
        for _ in 0..<count / batch {
            var tasks: [Task<Void, Never>] = []
            tasks.reserveCapacity(batch)
            for _ in 0..<batch { tasks.append(Task(executorPreference: loop) {}) }
            for task in tasks { await task.value }
        }
    }
}

func yields(tasks: Int, each: Int) async throws -> Measurement {
    try await measure(tasks * each) {
        try await withLoopTaskGroup { group in
            for _ in 0..<tasks {
                try group.addTask { for _ in 0..<each { try await LoopTask.yield() } }
            }
        }
    }
}

func sleeps(_ count: Int, upTo milliseconds: Int) async throws -> Measurement {
    var seed: UInt32 = 12345
    return try await measure(count) {
        var tasks: [LoopTask<Void>] = []
        tasks.reserveCapacity(count)
        for _ in 0..<count {
            seed = (seed &* 1_103_515_245 &+ 12345) & 0x7fff_ffff
            let duration = Duration.milliseconds(Int((seed >> 8) % UInt32(milliseconds + 1)))
            tasks.append(LoopTask { try await LoopTask.sleep(for: duration) })
        }
        for task in tasks { try await task.value }
    }
}

/// Tasks asleep for an hour: cancel all, await all.
func cancels(_ count: Int) async throws -> Measurement {
    let before = residentMemory()
    var tasks: [LoopTask<Void>] = []
    tasks.reserveCapacity(count)
    for _ in 0..<count { tasks.append(LoopTask { try await LoopTask.sleep(for: .seconds(3600)) }) }
    try await LoopTask.sleep(for: .milliseconds(10))
    let bytes = (residentMemory() - before) / Double(count)
    var result = try await measure(count) {
        for task in tasks { task.cancel() }
        for task in tasks { _ = try? await task.value }
    }
    result.extra.append(("bytes_per_task", bytes))
    return result
}

/// A successful operation under a timeout of an hour.
func timeouts(_ count: Int) async throws -> Measurement {
    try await withTimeout(.seconds(3600)) { try await LoopTask.yield() }
    let before = residentMemory()
    var result = try await measure(count) {
        for _ in 0..<count {
            try await withTimeout(.seconds(3600)) { try await LoopTask.yield() }
        }
    }
    result.extra.append(("rss_growth_bytes", residentMemory() - before))
    return result
}

/// Sleeps of an hour, started and cancelled in batches: memory must stand still after the first ten.
func batches(_ count: Int, batch: Int) async throws -> Measurement {
    guard let loop = EventLoop.current else { throw Usage() }
    var afterTenth = 0.0
    var result = try await measure(count) {
        for index in 0..<count / batch {
            var tasks: [LoopTask<Void>] = []
            tasks.reserveCapacity(batch)
            for _ in 0..<batch { tasks.append(LoopTask { try await LoopTask.sleep(for: .seconds(3600)) }) }
            try await LoopTask.yield()
            try await LoopTask.yield()
            for task in tasks { task.cancel() }
            for task in tasks { _ = try? await task.value }
            if index == 9 { afterTenth = residentMemory() }
        }
    }
    let statistics = loop.statistics
    result.extra = [
        ("rss_growth_bytes", residentMemory() - afterTenth), ("armed_timers", Double(statistics.armedTimers)),
        ("active_handles", Double(statistics.activeHandles)), ("pooled_timers", Double(statistics.pooledTimers)),
        ("pool_limit", Double(EventLoop.timerPoolLimit)),
    ]
    return result
}

/// Callbacks posted from a second thread.
func wakes(_ count: Int) async throws -> Measurement {
    guard let loop = EventLoop.current else { throw Usage() }
    let done = try Future<Void>()
    return try await measure(count) {
        Thread.detachNewThread {
            for index in 1...count {
                do {
                    try loop.callSoonThreadsafe { if index == count { try done.setResult(()) } }
                } catch {
                    FileHandle.standardError.write(Data("\(error)\n".utf8))
                }
            }
        }
        try await done.value
    }
}

/// Posts of eight threads against a loop that closes meanwhile: each runs, or is refused, and those of one thread in their order.
func posts(_ count: Int) throws -> Measurement {
    final class Arrivals: @unchecked Sendable {
        // Touched on the loop's thread only.
        var next = [Int](repeating: 0, count: 8)
        var inOrder = true
    }
    final class Refusals: @unchecked Sendable {
        let ended = DispatchSemaphore(value: 0)
        let closing = DispatchSemaphore(value: 0)
        let lock = NSLock()
        var count = 0
    }
    let loop = try EventLoop()
    let arrivals = Arrivals()
    let refusals = Refusals()
    let each = count / 8
    let wall = nanoseconds(CLOCK_MONOTONIC)
    for thread in 0..<8 {
        Thread.detachNewThread {
            var refused = 0
            for number in 0..<each {
                // The second half is posted while the loop closes: before, during and after.
                if number == each / 2 { refusals.closing.wait() }
                do {
                    try loop.callSoonThreadsafe {
                        arrivals.inOrder = arrivals.inOrder && arrivals.next[thread] == number
                        arrivals.next[thread] += 1
                        if thread == 0 && number == each / 2 - 1 { loop.stop() }
                    }
                } catch {
                    refused += 1
                }
            }
            refusals.lock.withLock { refusals.count += refused }
            refusals.ended.signal()
        }
    }
    try loop.runForever()
    for _ in 0..<8 { refusals.closing.signal() }
    try loop.close()
    for _ in 0..<8 { refusals.ended.wait() }
    let time = nanoseconds(CLOCK_MONOTONIC) - wall
    return Measurement(
        count: count, nanoseconds: time, cpuNanoseconds: time,
        extra: [
            ("ran", Double(arrivals.next.reduce(0, +))), ("refused", Double(refusals.count)), ("in_order", arrivals.inOrder ? 1 : 0),
        ])
}

/// Connections to an echo server of another process that then do nothing: what each costs that process in resident memory. `n` is connections.
func hold(port: Int, process: Int, _ count: Int) async throws -> Measurement {
    func resident() -> Double { residentMemory(of: "\(process)") }
    func openAndUse(_ count: Int) async throws -> [TCPStream] {
        var streams: [TCPStream] = []
        for _ in 0..<count {
            let stream = try await TCPStream.connect(host: "127.0.0.1", port: port)
            try await stream.write([UInt8](repeating: 1, count: 1024))
            _ = try await stream.read(exactly: 1024)
            streams.append(stream)
        }
        return streams
    }
    // What the server needs for its first connections it needs once.
    let first = try await openAndUse(64)
    let before = resident()
    var streams: [TCPStream] = []
    var result = try await measure(count) { streams = try await openAndUse(count) }
    result.extra = [("bytes_per_connection", (resident() - before) / Double(count))]
    for stream in first + streams { try await stream.close() }
    return result
}

func run(_ arguments: [String]) async throws -> Measurement {
    func number(_ index: Int, _ fallback: Int) -> Int { index < arguments.count ? Int(arguments[index]) ?? fallback : fallback }
    switch arguments.first {
    case "spawn": return try await spawn(number(1, 1_000_000), batch: number(2, 1000))
    case "spawn-bare": return try await spawnBare(number(1, 1_000_000), batch: number(2, 1000))
    case "yield2": return try await yields(tasks: 2, each: number(1, 1_000_000) / 2)
    case "yieldmany": return try await yields(tasks: number(1, 1000), each: number(2, 1000))
    case "sleep": return try await sleeps(number(1, 100_000), upTo: number(2, 1000))
    case "cancel": return try await cancels(number(1, 100_000))
    case "timeout": return try await timeouts(number(1, 250_000))
    case "batches": return try await batches(number(1, 1_000_000), batch: number(2, 1000))
    case "hold": return try await hold(port: number(1, 0), process: number(2, 0), number(3, 5000))
    case "wake": return try await wakes(number(1, 1_000_000))
    case "cancel-io": return try await cancelIO(number(1, 10_000))
    case "stalled": return try await stalled(number(1, 1_000))
    default: throw Usage()
    }
}

let arguments = Array(CommandLine.arguments.dropFirst())
do {
    // This one makes its own loop, and closes it.
    let result =
        arguments.first == "posts"
        ? try posts(arguments.count > 1 ? Int(arguments[1]) ?? 1_000_000 : 1_000_000) : try EventLoop.run { try await run(arguments) }
    let extra = result.extra.map { ",\"\($0.0)\":\(String(format: "%.1f", $0.1))" }.joined()
    print(
        String(
            format: "{\"workload\":\"%@\",\"n\":%d,\"ns_per_op\":%.1f,\"cpu_ns_per_op\":%.1f%@}",
            arguments.first ?? "", result.count, result.nanoseconds / Double(result.count), result.cpuNanoseconds / Double(result.count), extra))
} catch is Usage {
    FileHandle.standardError.write(
        Data(
            "usage: bench spawn|spawn-bare N BATCH | yield2 N | yieldmany TASKS EACH | sleep N MS | cancel N | timeout N | batches N BATCH | wake N | cancel-io N | stalled PEERS | posts N | hold PORT PID N\n"
                .utf8))
    exit(64)
}
