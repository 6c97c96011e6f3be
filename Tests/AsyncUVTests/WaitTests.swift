import Testing
@testable import AsyncUV

@Suite struct WaitTests {
    @Test func waitSaysWhoIsDoneInTheOrderOfTheArgument() async throws {
        try await withLoop {
            let slow = LoopTask(name: "slow") { try await LoopTask.sleep(for: .seconds(3)) }
            let quick = LoopTask(name: "quick") { try await LoopTask.sleep(for: .seconds(1)) }
            let first = try await LoopTask.wait(for: [slow, quick], until: .firstCompleted)
            #expect(first.done.map(\.name) == ["quick"])
            #expect(first.pending.map(\.name) == ["slow"])
            let all = try await LoopTask.wait(for: [slow, quick])
            #expect(all.done.map(\.name) == ["slow", "quick"])
            #expect(all.pending.isEmpty)
        }
    }

    @Test func cancelDuringWaitThrowsInTheNextTurnAndLeavesTheTasksRunning() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let log = Log()
            let slow = LoopTask { try await LoopTask.sleep(for: .seconds(3)) }
            let waiter = LoopTask {
                do {
                    _ = try await LoopTask.wait(for: [slow], timeout: .seconds(2))
                } catch let error as CancelledError {
                    log("cancelled in turn \(loop.turn)")
                    throw error
                }
            }
            try await LoopTask.sleep(for: .seconds(1))
            let turn = loop.turn
            waiter.cancel()
            await #expect(throws: CancelledError.self) { try await waiter.value }
            #expect(log.entries == ["cancelled in turn \(turn + 1)"])
            #expect(!slow.isDone)
            try await slow.value
        }
    }

    @Test func waitThatTimesOutLeavesTheTimersOfOthersAlone() async throws {
        try await withLoop {
            let never = LoopTask { try await LoopTask.sleep(for: .seconds(3600)) }
            // Both timers fire in one turn; the sleeper resumes first, and takes the waiter's from the pool.
            let sleeper = LoopTask {
                try await LoopTask.sleep(for: .seconds(1))
                try await LoopTask.sleep(for: .seconds(1))
            }
            let waiter = LoopTask { _ = try await LoopTask.wait(for: [never], timeout: .seconds(1)) }
            try await waiter.value
            try await sleeper.value
            never.cancel()
            await #expect(throws: CancelledError.self) { try await never.value }
        }
    }
}
