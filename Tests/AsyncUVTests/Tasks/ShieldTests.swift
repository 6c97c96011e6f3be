import Testing
@testable import AsyncUV

@Suite struct ShieldTests {
    @Test func entry54_shieldGivesTheValueOfWhatIsBehindIt() async throws {
        let value = try await withLoop {
            try await LoopTask.shield(
                LoopTask { () async throws in
                    try await LoopTask.sleep(for: .seconds(1))
                    return 7
                })
        }
        #expect(value == 7)
    }

    @Test func entry57_cancelDuringShieldThrowsInTheNextTurnAndLeavesTheInnerTaskRunning() async throws {
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

    @Test func entry54_shieldThrowsTheErrorOfWhatIsBehindIt() async throws {
        try await withLoop {
            let inner = LoopTask { () async throws -> Int in
                try await LoopTask.sleep(for: .seconds(1))
                throw Boom()
            }
            await #expect(throws: Boom.self) { try await LoopTask.shield(inner) }
        }
    }

    @Test func entry55_shieldOfSomethingDoneDoesNotSuspend() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let done = LoopTask { 7 }
            _ = try await done.value
            let turn = loop.turn
            LoopTask.current?.cancel()
            #expect(try await LoopTask.shield(done) == 7)
            #expect(loop.turn == turn)
            LoopTask.current?.uncancel()
        }
    }

    @Test func entry56_anErrorBehindALostShieldIsReportedOnce() async throws {
        let reports = Log()
        try await withLoop {
            let loop = try #require(EventLoop.current)
            loop.setReportHandler { reports($0.description) }
            let inner = LoopTask(name: "inner") { () async throws in
                try await LoopTask.sleep(for: .seconds(2))
                throw Boom(name: "late")
            }
            let waiters = (0..<3).map { _ in LoopTask { try await LoopTask.shield(inner) } }
            try await LoopTask.sleep(for: .seconds(1))
            for waiter in waiters { waiter.cancel() }
            for waiter in waiters { await #expect(throws: CancelledError.self) { try await waiter.value } }
            try await LoopTask.sleep(for: .seconds(2))
        }
        #expect(reports.entries.count == 1)
        #expect(reports.entries.first?.contains("inner") == true)
    }

    @Test func entry56_aResultBehindALostShieldIsSilent() async throws {
        let reports = Log()
        try await withLoop {
            try #require(EventLoop.current).setReportHandler { reports($0.description) }
            let inner = LoopTask { try await LoopTask.sleep(for: .seconds(2)) }
            let waiter = LoopTask { try await LoopTask.shield(inner) }
            try await LoopTask.sleep(for: .seconds(1))
            waiter.cancel()
            try await inner.value
        }
        #expect(reports.entries.isEmpty)
    }
}
