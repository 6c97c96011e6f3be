import Testing
@testable import AsyncUV

@Suite struct BridgeTests {
    @Test func aForeignCallIsCancelledExactlyOnce() async throws {
        try await withLoop {
            let task = LoopTask {
                do {
                    try await LoopTask.foreign { try await Task.sleep(for: .seconds(3600)) }
                } catch is CancelledError {
                    try await LoopTask.sleep(for: .seconds(1))
                    return try await LoopTask.foreign { "still able to call: \(Task.isCancelled)" }
                }
                return "not cancelled"
            }
            try await LoopTask.yield()
            task.cancel()
            #expect(try await task.value == "still able to call: false")
        }
    }

    @Test func aPlainTaskCanSleepOnTheLoopAndAwaitItsTasks() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            async let child: Void = LoopTask.sleep(for: .seconds(5))
            try await child
            let task = LoopTask {
                try await LoopTask.sleep(for: .seconds(5)); return 3
            }
            let value = try await LoopTask.foreign { try await task.value }
            #expect(value == 3)
            #expect(loop.now.nanoseconds == 10_000_000_000)
        }
    }
}
