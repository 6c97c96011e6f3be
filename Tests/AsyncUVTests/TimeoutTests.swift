import Testing
@testable import AsyncUV

@Suite struct TimeoutTests {
    @Test func aBodyThatTakesTooLongThrowsTimeoutError() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            await #expect(throws: TimeoutError.self) {
                try await withTimeout(.seconds(5)) { try await LoopTask.sleep(for: .seconds(10)) }
            }
            #expect(loop.now == LoopInstant(nanoseconds: 5_000_000_000))
            #expect(LoopTask.current?.cancelling() == 0)
        }
    }

    @Test func aBodyThatEndsInTimeKeepsNoTimer() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            var expired = true
            let value = try await withTimeout(.seconds(5)) { timeout in
                try await LoopTask.sleep(for: .seconds(1))
                expired = timeout.isExpired
                return 7
            }
            #expect(value == 7 && !expired)
            #expect(loop.statistics.armedTimers == 0)
        }
    }
}
