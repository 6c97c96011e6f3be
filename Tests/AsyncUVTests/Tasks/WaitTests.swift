import Testing
@testable import AsyncUV

@Suite struct WaitTests {
    @Test func entry89_waitSaysWhoIsDoneInTheOrderOfTheArgument() async throws {
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

    @Test func entry89_cancelDuringWaitThrowsInTheNextTurnAndLeavesTheTasksRunning() async throws {
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

    @Test func entry89_aTimeoutIsNoErrorAndCancelsNothing() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let slow = LoopTask { try await LoopTask.sleep(for: .seconds(3)) }
            let outcome = try await LoopTask.wait(for: [slow], timeout: .seconds(1))
            #expect(outcome.done.isEmpty && outcome.pending.count == 1)
            #expect(loop.now.nanoseconds == 1_000_000_000)
            try await slow.value
        }
    }

    @Test func entry89_firstExceptionIgnoresCancelledTasks() async throws {
        try await withLoop {
            let cancelled = LoopTask { try await LoopTask.sleep(for: .seconds(100)) }
            let failing = LoopTask {
                try await LoopTask.sleep(for: .seconds(2))
                throw Boom()
            }
            let slow = LoopTask { try await LoopTask.sleep(for: .seconds(3)) }
            cancelled.cancel()
            let outcome = try await LoopTask.wait(for: [slow, failing, cancelled], until: .firstException)
            #expect(outcome.done.map(ObjectIdentifier.init) == [failing, cancelled].map(ObjectIdentifier.init))
            #expect(try failing.error() is Boom)
            try await slow.value
        }
    }

    @Test func entry89_nothingToWaitForIsMisuse() async throws {
        try await withLoop {
            let none: [LoopTask<Void>] = []
            let error = await #expect(throws: LoopError.self) { try await LoopTask.wait(for: none) }
            #expect(error?.code == .misuse)
        }
    }

    @Test func entry90_aTaskThatEndsInTheTurnOfTheWakeUpCountsAsDone() async throws {
        try await withLoop {
            let tasks = (0..<2).map { _ in LoopTask { try await LoopTask.sleep(for: .seconds(1)) } }
            let outcome = try await LoopTask.wait(for: tasks, until: .firstCompleted)
            #expect(outcome.done.count == 2)
        }
    }

    @Test func oneThatIsGivenTwiceIsWaitedForOnce() async throws {
        try await withLoop {
            let task = LoopTask { try await LoopTask.sleep(for: .seconds(1)) }
            let outcome = try await LoopTask.wait(for: [task, task])
            #expect(outcome.done.count == 1)
        }
    }
}
