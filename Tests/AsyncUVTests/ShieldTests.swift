import Testing
@testable import AsyncUV

@Suite struct ShieldTests {
    @Test func shieldGivesTheValueOfWhatIsBehindIt() async throws {
        let value = try await withLoop {
            try await LoopTask.shield(
                LoopTask { () async throws in
                    try await LoopTask.sleep(for: .seconds(1))
                    return 7
                })
        }
        #expect(value == 7)
    }

    @Test func cancelDuringShieldThrowsInTheNextTurnAndLeavesTheInnerTaskRunning() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let log = Log()
            let inner = LoopTask { () async throws in
                try await LoopTask.sleep(for: .seconds(2))
                return 7
            }
            let outer = LoopTask {
                do {
                    _ = try await LoopTask.shield(inner)
                } catch let error as CancelledError {
                    log("cancelled in turn \(loop.turn)")
                    throw error
                }
            }
            try await LoopTask.sleep(for: .seconds(1))
            let turn = loop.turn
            #expect(outer.cancel())
            await #expect(throws: CancelledError.self) { try await outer.value }
            #expect(log.entries == ["cancelled in turn \(turn + 1)"])
            #expect(!inner.isDone)
            #expect(try await inner.value == 7)
        }
    }

    @Test func anInnerTaskThatIsCancelledComesThroughTheShieldAsACancellation() async throws {
        try await withLoop {
            let inner = LoopTask { try await LoopTask.sleep(for: .seconds(3600)) }
            let outer = LoopTask { try await LoopTask.shield(inner) }
            try await LoopTask.sleep(for: .seconds(1))
            inner.cancel()
            await #expect(throws: CancelledError.self) { try await outer.value }
            #expect(outer.isCancelled)
            #expect(outer.cancelling() == 0)
        }
    }
}
