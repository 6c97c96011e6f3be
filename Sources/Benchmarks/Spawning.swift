import AsyncUV

/// Tasks that do nothing, in batches: created, then awaited.
func spawn(_ count: Int, batch: Int) async throws -> Measurement {
    try await measure(count) {
        for first in stride(from: 0, to: count, by: batch) {
            var tasks: [LoopTask<Void>] = []
            tasks.reserveCapacity(batch)
            for _ in first..<min(count, first + batch) { tasks.append(LoopTask {}) }
            for task in tasks { try await task.value }
        }
    }
}

/// The same with bare tasks of the standard library, on the same loop: what a LoopTask is measured against.
func spawnBare(_ count: Int, batch: Int) async throws -> Measurement {
    guard let loop = EventLoop.current else { throw Wrong("no event loop runs here") }
    return try await measure(count) {
        for first in stride(from: 0, to: count, by: batch) {
            var tasks: [Task<Void, Never>] = []
            tasks.reserveCapacity(batch)
            for _ in first..<min(count, first + batch) { tasks.append(Task(executorPreference: loop) {}) }
            for task in tasks { await task.value }
        }
    }
}

/// The same in task groups of so many.
func groups(_ count: Int, of size: Int) async throws -> Measurement {
    try await measure(count) {
        for first in stride(from: 0, to: count, by: size) {
            try await withLoopTaskGroup { group in
                for _ in first..<min(count, first + size) { try group.addTask {} }
            }
        }
    }
}

/// The same, gathered, so many at a time.
func gathers(_ count: Int, of size: Int) async throws -> Measurement {
    try await measure(count) {
        for first in stride(from: 0, to: count, by: size) {
            let end = min(count, first + size)
            let values = try await LoopTask.gather((first..<end).map { number in LoopTask { number } })
            guard values.last == end - 1 else { throw Wrong("gathered \(values.count) values of \(end - first), or in another order") }
        }
    }
}
