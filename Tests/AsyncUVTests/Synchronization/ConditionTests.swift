import Testing
@testable import AsyncUV

@Suite struct ConditionTests {
    @Test func waitReleasesTheLockAndHasItAgainAfterwards() async throws {
        try await withLoop {
            let condition = try Condition()
            let waiter = LoopTask {
                try await condition.withLock {
                    try await condition.wait()
                    #expect(condition.isLocked)
                    return "notified"
                }
            }
            try await turns()
            #expect(!condition.isLocked)
            try await condition.withLock { try condition.notify() }
            #expect(try await waiter.value == "notified")
            #expect(!condition.isLocked)
        }
    }

    @Test func notifyWakesAsManyAsItSaysAndNotifyAllTheRest() async throws {
        try await withLoop {
            let condition = try Condition()
            let log = Log()
            let tasks = (0..<5).map { index in
                LoopTask {
                    try await condition.withLock {
                        try await condition.wait()
                        log("\(index)")
                    }
                }
            }
            try await turns()
            try await condition.withLock { try condition.notify(0) }
            try await turns(5)
            #expect(log.entries.isEmpty)
            try await condition.withLock { try condition.notify(2) }
            try await turns(5)
            #expect(log.entries == ["0", "1"])
            try await condition.withLock { try condition.notifyAll() }
            for task in tasks { try await task.value }
            #expect(log.entries == ["0", "1", "2", "3", "4"])
        }
    }

    @Test func waitUntilAsksItsPredicateAgainAfterEachNotification() async throws {
        try await withLoop {
            let condition = try Condition()
            let level = Shared(0)
            let asked = Shared(0)
            let waiter = LoopTask {
                try await condition.withLock {
                    try await condition.wait(until: {
                        asked.value += 1
                        return level.value >= 2
                    })
                }
            }
            for _ in 0..<2 {
                try await turns(3)
                try await condition.withLock {
                    level.value += 1
                    try condition.notify()
                }
            }
            try await waiter.value
            #expect(asked.value == 3)
        }
    }

    @Test func conditionsCanShareALock() async throws {
        try await withLoop {
            let lock = try Lock()
            let full = try Condition(lock: lock), empty = try Condition(lock: lock)
            let waiter = LoopTask { try await full.withLock { try await full.wait() } }
            try await turns()
            try await lock.withLock { try empty.notifyAll() }
            try await turns(3)
            #expect(!waiter.isDone)
            try await empty.withLock { try full.notify() }
            try await waiter.value
        }
    }

    @Test func aLockOfAnotherLoopIsMisuse() async throws {
        try await withLoop {
            let other = try EventLoop(clock: .virtual)
            let lock = try Lock(on: other)
            let current = try #require(EventLoop.current)
            await expectError(.misuse) { try Condition(lock: lock, on: current) }
        }
    }

    @Test func entry95_aCancelledWaiterStaysUntilItHasTheLock() async throws {
        try await withLoop {
            let condition = try Condition()
            let held = Shared(false)
            let waiter = LoopTask {
                try await condition.acquire()
                do {
                    try await condition.wait()
                } catch let error as CancelledError {
                    held.value = condition.isLocked
                    try condition.release()
                    throw error
                }
            }
            try await turns()
            try await condition.acquire()
            waiter.cancel(message: "first")
            try await turns(3)
            #expect(!waiter.isDone)
            waiter.cancel(message: "second")
            try await turns(3)
            waiter.cancel(message: "third")
            try await turns(3)
            #expect(!waiter.isDone)
            try condition.release()
            do {
                try await waiter.value
                Issue.record("the cancel was lost")
            } catch let error as CancelledError {
                #expect(error.message == "third")
            }
            #expect(held.value)
            #expect(!condition.isLocked)
        }
    }

    @Test func entry96_aNotifiedWaiterThatIsCancelledNotifiesAnother() async throws {
        for cancelsAfterTheRelease in [true, false] {
            try await withLoop {
                let condition = try Condition()
                let first = LoopTask { try await condition.withLock { try await condition.wait() } }
                let second = LoopTask { try await condition.withLock { try await condition.wait() } }
                try await turns(2)
                try await condition.acquire()
                try condition.notify()
                if !cancelsAfterTheRelease {
                    // It waits for the lock by now.
                    try await turns(2)
                }
                first.cancel(message: "gone")
                try condition.release()
                do {
                    try await first.value
                    Issue.record("the cancel was lost")
                } catch let error as CancelledError {
                    #expect(error.message == "gone")
                }
                try await second.value
                #expect(!condition.isLocked)
            }
        }
    }

    @Test func entry96_waitAndNotifyWithoutTheLockAreMisuse() async throws {
        try await withLoop {
            let condition = try Condition()
            await expectError(.misuse) { try await condition.wait() }
            await expectError(.misuse) { try condition.notify() }
            await expectError(.misuse) { try condition.notifyAll() }
            await expectError(.misuse) { try condition.release() }
        }
    }

    @Test func closingTheLoopCancelsWhoWaits() async throws {
        let loop = try EventLoop(clock: .virtual)
        let condition = try Condition(on: loop)
        let tasks = (0..<3).map { _ in LoopTask(on: loop) { try await condition.withLock { try await condition.wait() } } }
        try await onOwnThread {
            loop.stop()
            try loop.runForever()
            try loop.close()
        }
        #expect(tasks.allSatisfy { $0.isCancelled })
    }

    @Test func aPlainTaskCanWaitAndBeCancelled() async throws {
        try await withLoop(clock: .system) {
            let condition = try Condition()
            let waiting = Task.detached { try await condition.withLock { try await condition.wait() } }
            while condition.waitingCount < 1 { try await LoopTask.sleep(for: .milliseconds(1)) }
            let cancelled = Task.detached { try await condition.withLock { try await condition.wait() } }
            while condition.waitingCount < 2 { try await LoopTask.sleep(for: .milliseconds(1)) }
            cancelled.cancel()
            await #expect(throws: CancellationError.self) { try await cancelled.value }
            // The cancelled one woke the other, as it does whenever it leaves by an error; where nothing has changed that one waits again.
            try await waiting.value
            try await condition.withLock {}
        }
    }
}
