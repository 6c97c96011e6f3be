import Testing
@testable import AsyncUV

@Suite struct EventTests {
    @Test func anEventThatIsSetDoesNotSuspend() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let event = try Event()
            #expect(!event.isSet)
            try event.set()
            try event.set()
            let turn = loop.turn
            try await event.wait()
            #expect(loop.turn == turn)
            #expect(event.isSet)
            try event.clear()
            #expect(!event.isSet)
        }
    }

    @Test func setWakesAllInTheNextTurnAndInOrder() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let event = try Event()
            let log = Log()
            let start = Shared(loop.turn)
            let tasks = (0..<3).map { index in
                LoopTask {
                    try await event.wait()
                    log("\(index) in turn \(loop.turn - start.value)")
                }
            }
            try await turns()
            start.value = loop.turn
            try event.set()
            for task in tasks { try await task.value }
            #expect(log.entries == ["0 in turn 1", "1 in turn 1", "2 in turn 1"])
        }
    }

    @Test func entry94_setAndClearStillWakesWhoWaitedAtTheSet() async throws {
        try await withLoop {
            let event = try Event()
            let waiter = LoopTask { try await event.wait() }
            try await turns()
            try event.set()
            try event.clear()
            try await waiter.value
            let late = LoopTask { try await event.wait() }
            try await turns(3)
            #expect(!late.isDone)
            try event.set()
            try await late.value
        }
    }

    @Test func entry94_aCancelledWaiterIsGoneAndTheOthersAreWoken() async throws {
        try await withLoop {
            let event = try Event()
            let first = LoopTask { try await event.wait() }
            let second = LoopTask { try await event.wait() }
            try await turns()
            first.cancel()
            await #expect(throws: CancelledError.self) { try await first.value }
            #expect(event.waitingCount == 1)
            try event.set()
            try await second.value
            #expect(event.waitingCount == 0)
        }
    }

    @Test func aCancelAfterTheSetStillThrows() async throws {
        try await withLoop {
            let event = try Event()
            let waiter = LoopTask { try await event.wait() }
            try await turns()
            try event.set()
            waiter.cancel()
            await #expect(throws: CancelledError.self) { try await waiter.value }
        }
    }

    @Test func aPlainTaskCanWaitAndBeCancelled() async throws {
        try await withLoop(clock: .system) {
            let event = try Event()
            let waiting = Task.detached { try await event.wait() }
            let cancelled = Task.detached { try await event.wait() }
            while event.waitingCount < 2 { try await LoopTask.sleep(for: .milliseconds(1)) }
            cancelled.cancel()
            await #expect(throws: CancellationError.self) { try await cancelled.value }
            try event.set()
            try await waiting.value
        }
    }

    @Test func settingOnAnotherThreadIsMisuse() async throws {
        try await withLoop(clock: .system) {
            let event = try Event()
            let elsewhere = Task.detached { try event.set() }
            await expectError(.misuse) { try await elsewhere.value }
            #expect(!event.isSet)
        }
    }
}
