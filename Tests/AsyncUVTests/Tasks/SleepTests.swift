import Testing
@testable import AsyncUV

@Suite struct SleepTests {
    @Test func sleepEndsAtItsDeadlineOfTheVirtualClock() async throws {
        let elapsed = try await withLoop {
            let loop = try #require(EventLoop.current)
            let start = loop.now
            try await LoopTask.sleep(for: .seconds(3600))
            return start.duration(to: loop.now)
        }
        #expect(elapsed == .seconds(3600))
    }

    @Test func cancelDuringSleepThrowsInTheNextTurn() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let log = Log()
            let sleeper = LoopTask {
                do {
                    try await LoopTask.sleep(for: .seconds(3600))
                } catch let error as CancelledError {
                    log("cancelled in turn \(loop.turn): \(error.message ?? "")")
                    throw error
                }
            }
            try await LoopTask.sleep(for: .seconds(1))
            let turn = loop.turn
            #expect(sleeper.cancel(message: "enough"))
            #expect(loop.statistics.armedTimers == 0)
            await #expect(throws: CancelledError.self) { try await sleeper.value }
            #expect(log.entries == ["cancelled in turn \(turn + 1): enough"])
            #expect(sleeper.isCancelled)
        }
    }

    @Test func whenCancelReturnsLibuvSaysThatTheTimerIsNotActive() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let sleeper = LoopTask { try await LoopTask.sleep(for: .seconds(3600)) }
            try await LoopTask.yield()
            guard case .timer(let timer) = sleeper.undo else {
                Issue.record("the task does not sleep")
                return
            }
            let handles = loop.statistics.activeHandles
            #expect(timer.isActive)
            sleeper.cancel()
            #expect(!timer.isActive)
            #expect(loop.statistics.activeHandles == handles - 1)
            await #expect(throws: CancelledError.self) { try await sleeper.value }
        }
    }

    @Test func aSleepThatEndsLeavesItsTimerInThePool() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            for _ in 0..<3 { try await LoopTask.sleep(for: .milliseconds(1)) }
            #expect(loop.statistics.pooledTimers == 1)
        }
    }

    /// libuv fires such a timer before it polls, in the very pass that then waits for the next event.
    @Test func aTimerThatBecomesDueWhileTheLoopIsBusyIsNotWaitedOver() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let sleeper = LoopTask { try await LoopTask.sleep(for: .milliseconds(1)) }
            try await LoopTask.yield()
            let start = loop.now
            while start.duration(to: loop.now) < .milliseconds(3) {}
            try await sleeper.value
        }
    }
}
