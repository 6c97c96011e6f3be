import Testing
@testable import AsyncUV

@Suite struct LockTests {
    @Test func aFreeLockIsTakenWithoutSuspending() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let lock = try Lock()
            let turn = loop.turn
            try await lock.acquire()
            #expect(loop.turn == turn)
            #expect(lock.isLocked)
            try lock.release()
            #expect(!lock.isLocked)
        }
    }

    @Test func withLockExcludesOthersAcrossItsAwaitsAndReturnsTheValue() async throws {
        try await withLoop {
            let lock = try Lock()
            let log = Log()
            let tasks = (0..<3).map { index in
                LoopTask {
                    try await lock.withLock {
                        log("in \(index)")
                        try await LoopTask.sleep(for: .seconds(1))
                        log("out \(index)")
                        return index
                    }
                }
            }
            for (index, task) in tasks.enumerated() { #expect(try await task.value == index) }
            #expect(log.entries == ["in 0", "out 0", "in 1", "out 1", "in 2", "out 2"])
            #expect(!lock.isLocked)
        }
    }

    @Test func withLockReleasesWhenItsBodyThrowsOrIsCancelled() async throws {
        try await withLoop {
            let lock = try Lock()
            await expectError(.busy) { try await lock.withLock { throw LoopError(.busy, "test") } }
            #expect(!lock.isLocked)
            let task = LoopTask { try await lock.withLock { try await LoopTask.sleep(for: .seconds(9)) } }
            try await turns()
            #expect(lock.isLocked)
            task.cancel()
            await #expect(throws: CancelledError.self) { try await task.value }
            #expect(!lock.isLocked)
        }
    }

    @Test func withLockSaysSoIfItsBodyHasReleasedTheLock() async throws {
        try await withLoop {
            let lock = try Lock()
            await expectError(.misuse) { try await lock.withLock { try lock.release() } }
        }
    }

    @Test func entry92_aNewcomerQueuesBehindAWaiterAlthoughTheLockIsFree() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let lock = try Lock()
            let log = Log()
            try await lock.acquire()
            let start = loop.turn
            let waiter = LoopTask {
                try await lock.acquire()
                log("waiter in turn \(loop.turn - start)")
                try lock.release()
            }
            try await turns()
            try lock.release()
            #expect(!lock.isLocked)
            try await lock.acquire()
            log("newcomer in turn \(loop.turn - start)")
            try lock.release()
            try await waiter.value
            #expect(log.entries == ["waiter in turn 2", "newcomer in turn 3"])
        }
    }

    @Test func entry92_waitersAreServedInTheOrderOfTheirArrival() async throws {
        try await withLoop {
            let lock = try Lock()
            let log = Log()
            try await lock.acquire()
            let tasks = (0..<5).map { index in
                LoopTask {
                    try await lock.acquire()
                    log("\(index)")
                    try lock.release()
                }
            }
            try await turns()
            try lock.release()
            for task in tasks { try await task.value }
            #expect(log.entries == ["0", "1", "2", "3", "4"])
        }
    }

    @Test func entry92_aReleaseOfALockThatIsNotHeldIsMisuse() async throws {
        try await withLoop {
            let lock = try Lock()
            await expectError(.misuse) { try lock.release() }
            try await lock.acquire()
            try lock.release()
            await expectError(.misuse) { try lock.release() }
        }
    }

    @Test func entry92_aLockWhoseWaitersAreAllCancelledIsTakenAtOnce() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let lock = try Lock()
            try await lock.acquire()
            let waiter = LoopTask { try await lock.acquire() }
            try await turns()
            waiter.cancel()
            try lock.release()
            let turn = loop.turn
            try await lock.acquire()
            #expect(loop.turn == turn)
            await #expect(throws: CancelledError.self) { try await waiter.value }
            #expect(lock.isLocked)
            try lock.release()
        }
    }

    @Test func entry93_aCancelledWaiterPassesTheWakeUpOn() async throws {
        for cancelsBeforeTheRelease in [true, false] {
            try await withLoop {
                let lock = try Lock()
                try await lock.acquire()
                let first = LoopTask { try await lock.acquire() }
                let second = LoopTask {
                    try await lock.acquire()
                    try lock.release()
                }
                try await turns()
                if cancelsBeforeTheRelease { first.cancel() }
                try lock.release()
                if !cancelsBeforeTheRelease { first.cancel() }
                await #expect(throws: CancelledError.self) { try await first.value }
                try await second.value
                #expect(!lock.isLocked)
            }
        }
    }

    @Test func entry93_aWaiterCancelledAfterItsWakeUpLeavesTheLockToWhoHasTakenItMeanwhile() async throws {
        try await withLoop {
            let lock = try Lock()
            try await lock.acquire()
            let first = LoopTask { try await lock.acquire() }
            try await turns()
            first.cancel()
            try lock.release()
            try await lock.acquire()
            let second = LoopTask { try await lock.acquire() }
            await #expect(throws: CancelledError.self) { try await first.value }
            try await turns(3)
            #expect(!second.isDone)
            try lock.release()
            try await second.value
            try lock.release()
        }
    }

    @Test func cancelWhileWaitingThrowsInTheNextTurn() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let lock = try Lock()
            try await lock.acquire()
            let thrown = Shared<UInt64>(0)
            let waiter = LoopTask {
                do { try await lock.acquire() } catch let error as CancelledError {
                    thrown.value = loop.turn
                    throw error
                }
            }
            try await turns(2)
            let turn = loop.turn
            waiter.cancel()
            await #expect(throws: CancelledError.self) { try await waiter.value }
            #expect(thrown.value == turn + 1)
            try lock.release()
        }
    }

    @Test func closingTheLoopCancelsWhoWaits() async throws {
        let loop = try EventLoop(clock: .virtual)
        let lock = try Lock(on: loop)
        let tasks = (0..<2).map { _ in LoopTask(on: loop) { try await lock.withLock { try await LoopTask.sleep(for: .seconds(9)) } } }
        try await onOwnThread {
            loop.stop()
            try loop.runForever()
            try loop.close()
        }
        #expect(tasks.allSatisfy { $0.isCancelled })
    }

    @Test func aPlainTaskTakesItsTurnLikeOthers() async throws {
        try await withLoop(clock: .system) {
            let lock = try Lock()
            let log = Log()
            try await lock.acquire()
            let plain = Task.detached {
                log("plain begins")
                return try await lock.withLock {
                    log("plain")
                    return 42
                }
            }
            while lock.waitingCount == 0 { try await LoopTask.sleep(for: .milliseconds(1)) }
            log("released")
            try lock.release()
            #expect(try await plain.value == 42)
            #expect(log.entries == ["plain begins", "released", "plain"])
            // The release was posted by the plain task.
            try await lock.acquire()
            try lock.release()
        }
    }

    @Test func aPlainTaskThatIsCancelledWhileItWaitsLeavesTheLine() async throws {
        try await withLoop(clock: .system) {
            let lock = try Lock()
            try await lock.acquire()
            let plain = Task.detached { try await lock.withLock { Issue.record("the lock was not free") } }
            while lock.waitingCount == 0 { try await LoopTask.sleep(for: .milliseconds(1)) }
            plain.cancel()
            await #expect(throws: CancellationError.self) { try await plain.value }
            #expect(lock.waitingCount == 0)
            try lock.release()
            let turn = EventLoop.current?.turn
            try await lock.acquire()
            #expect(EventLoop.current?.turn == turn)
            try lock.release()
        }
    }

    @Test func aReleaseOnAnotherThreadIsMisuse() async throws {
        try await withLoop(clock: .system) {
            let lock = try Lock()
            try await lock.acquire()
            let elsewhere = Task.detached { try lock.release() }
            await expectError(.misuse) { try await elsewhere.value }
            try lock.release()
        }
    }

    @Test func withoutALoopThereIsNoLock() async throws {
        await expectError(.misuse) { try Lock() }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func whateverIsCancelledTheLockHasOneHolderAndIsFreeAtTheEnd(seed: UInt64) async throws {
        try await withLoop {
            let lock = try Lock()
            let random = Shared(Seeded(seed))
            let holders = Shared(0)
            let served = Shared(0)
            let tasks = (0..<30).map { _ in
                LoopTask {
                    try await turns(Int.random(in: 0..<6, using: &random.value))
                    try await lock.withLock {
                        holders.value += 1
                        defer { holders.value -= 1 }
                        #expect(holders.value == 1)
                        served.value += 1
                        try await turns(Int.random(in: 0..<3, using: &random.value))
                    }
                }
            }
            for _ in 0..<25 {
                try await turns(Int.random(in: 0..<3, using: &random.value))
                tasks.randomElement(using: &random.value)?.cancel()
            }
            var ended = 0
            for task in tasks {
                do { try await task.value } catch is CancelledError { continue }
                ended += 1
            }
            #expect(served.value >= ended)
            #expect(holders.value == 0)
            #expect(!lock.isLocked)
            #expect(lock.waitingCount == 0)
        }
    }
}
