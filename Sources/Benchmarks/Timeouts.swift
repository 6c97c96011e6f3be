import AsyncUV

/// A successful operation under a timeout of an hour.
func timeouts(_ count: Int) async throws -> Measurement {
    try await withTimeout(.seconds(3600)) { try await LoopTask.yield() }
    let before = ThisProcess.residentMemory()
    var result = try await measure(count) {
        for _ in 0..<count {
            try await withTimeout(.seconds(3600)) { try await LoopTask.yield() }
        }
    }
    result.extra.append(("rss_growth_bytes", ThisProcess.residentMemory() - before))
    return result
}
