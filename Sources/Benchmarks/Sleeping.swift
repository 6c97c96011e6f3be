import AsyncUV

/// Tasks that sleep for up to so long, each for another time.
func sleeps(_ count: Int, upTo milliseconds: Int) async throws -> Measurement {
    var seed: UInt32 = 12345
    var result = try await measure(count) {
        var tasks: [LoopTask<Void>] = []
        tasks.reserveCapacity(count)
        for _ in 0..<count {
            seed = (seed &* 1_103_515_245 &+ 12345) & 0x7fff_ffff
            let duration = Duration.milliseconds(Int((seed >> 8) % UInt32(milliseconds + 1)))
            tasks.append(LoopTask { try await LoopTask.sleep(for: duration) })
        }
        for task in tasks { try await task.value }
    }
    result.extra.append(("overhead_ms", result.seconds * 1e3 - Double(milliseconds)))
    return result
}

/// Tasks asleep for an hour: cancel all, await all.
func cancels(_ count: Int) async throws -> Measurement {
    let before = ThisProcess.residentMemory()
    var tasks: [LoopTask<Void>] = []
    tasks.reserveCapacity(count)
    for _ in 0..<count { tasks.append(LoopTask { try await LoopTask.sleep(for: .seconds(3600)) }) }
    try await LoopTask.sleep(for: .milliseconds(10))
    let bytes = (ThisProcess.residentMemory() - before) / Double(count)
    var cancelled = 0
    var result = try await measure(count) {
        for task in tasks { task.cancel() }
        for task in tasks {
            do { try await task.value } catch is CancelledError { cancelled += 1 }
        }
    }
    guard cancelled == count else { throw Wrong("\(cancelled) of \(count) tasks ended cancelled") }
    result.extra.append(("bytes_per_task", bytes))
    return result
}

/// Sleeps of an hour, started and cancelled in batches: memory must stand still after the first ten.
func batches(_ count: Int, batch: Int) async throws -> Measurement {
    guard let loop = EventLoop.current else { throw Wrong("no event loop runs here") }
    var afterTenth = 0.0
    var result = try await measure(count) {
        for first in stride(from: 0, to: count, by: batch) {
            var tasks: [LoopTask<Void>] = []
            tasks.reserveCapacity(batch)
            for _ in first..<min(count, first + batch) { tasks.append(LoopTask { try await LoopTask.sleep(for: .seconds(3600)) }) }
            try await LoopTask.yield()
            try await LoopTask.yield()
            for task in tasks { task.cancel() }
            for task in tasks { _ = try? await task.value }
            if first / batch == 9 { afterTenth = ThisProcess.residentMemory() }
        }
    }
    let statistics = loop.statistics
    result.extra = [
        ("rss_growth_bytes", ThisProcess.residentMemory() - afterTenth), ("armed_timers", Double(statistics.armedTimers)),
        ("active_handles", Double(statistics.activeHandles)), ("pooled_timers", Double(statistics.pooledTimers)),
        ("pool_limit", Double(EventLoop.timerPoolLimit)),
    ]
    return result
}
