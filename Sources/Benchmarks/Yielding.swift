import AsyncUV

/// Tasks that do nothing but let each other run.
func yields(tasks: Int, each: Int) async throws -> Measurement {
    try await measure(tasks * each) {
        try await withLoopTaskGroup { group in
            for _ in 0..<tasks {
                try group.addTask { for _ in 0..<each { try await LoopTask.yield() } }
            }
        }
    }
}
