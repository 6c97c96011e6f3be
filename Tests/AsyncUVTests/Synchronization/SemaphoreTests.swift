import Testing
@testable import AsyncUV

@Suite struct SemaphoreTests {
    @Test func withPermitLetsAsManyInAsThereArePermits() async throws {
        try await withLoop {
            let semaphore = try Semaphore(value: 2)
            let inside = Shared(0), most = Shared(0)
            let tasks = (0..<6).map { index in
                LoopTask {
                    try await semaphore.withPermit {
                        inside.value += 1
                        most.value = max(most.value, inside.value)
                        try await LoopTask.sleep(for: .seconds(1))
                        inside.value -= 1
                        return index
                    }
                }
            }
            for (index, task) in tasks.enumerated() { #expect(try await task.value == index) }
            #expect(most.value == 2)
            #expect(semaphore.value == 2)
        }
    }

    @Test func withPermitGivesItBackWhenItsBodyThrows() async throws {
        try await withLoop {
            let semaphore = try Semaphore()
            await expectError(.busy) { try await semaphore.withPermit { throw LoopError(.busy, "test") } }
            #expect(semaphore.value == 1)
        }
    }

    @Test func aNegativeValueIsMisuse() async throws {
        try await withLoop {
            await expectError(.misuse) { try Semaphore(value: -1) }
            await expectError(.misuse) { try BoundedSemaphore(value: -1) }
        }
    }

    @Test func aSemaphoreCanStartWithoutPermitsAndGetThemByRelease() async throws {
        try await withLoop {
            let semaphore = try Semaphore(value: 0)
            #expect(semaphore.isLocked)
            let waiter = LoopTask { try await semaphore.acquire() }
            try await turns()
            try semaphore.release()
            try await waiter.value
            try semaphore.release()
            try semaphore.release()
            #expect(semaphore.value == 2)
            #expect(!semaphore.isLocked)
        }
    }

    @Test func entry97_itIsLockedWhileSomebodyWaitsAlthoughAPermitIsFree() async throws {
        try await withLoop {
            let semaphore = try Semaphore(value: 1)
            let log = Log()
            try await semaphore.acquire()
            let waiter = LoopTask {
                try await semaphore.acquire()
                log("waiter")
            }
            try await turns()
            try semaphore.release()
            try semaphore.release()
            #expect(semaphore.value == 1)
            #expect(semaphore.isLocked)
            try await semaphore.acquire()
            log("newcomer")
            try await waiter.value
            #expect(log.entries == ["waiter", "newcomer"])
            #expect(semaphore.value == 0)
        }
    }

    @Test func entry97_oneWakeUpStartsAChainForThoseWhoHadToQueue() async throws {
        try await withLoop {
            let semaphore = try Semaphore(value: 0)
            let log = Log()
            let first = LoopTask {
                try await semaphore.acquire()
                log("first")
            }
            try await turns()
            for _ in 0..<3 { try semaphore.release() }
            // Two permits are free, but the first one has not run yet: these queue, and nobody releases after them.
            let others = (0..<2).map { index in
                LoopTask(eager: true) {
                    try await semaphore.acquire()
                    log("other \(index)")
                }
            }
            try await first.value
            for task in others { try await task.value }
            #expect(log.entries == ["first", "other 0", "other 1"])
            #expect(semaphore.value == 0)
        }
    }

    @Test func entry98_aWaiterCancelledAfterItsPermitWasGrantedGivesItToTheNext() async throws {
        try await withLoop {
            let semaphore = try Semaphore(value: 0)
            let first = LoopTask { try await semaphore.acquire() }
            let second = LoopTask { try await semaphore.acquire() }
            try await turns()
            try semaphore.release()
            first.cancel()
            await #expect(throws: CancelledError.self) { try await first.value }
            try await second.value
            #expect(semaphore.value == 0)
        }
    }

    @Test func entry98_aWaiterCancelledBeforeItsPermitIsPassedOver() async throws {
        try await withLoop {
            let semaphore = try Semaphore(value: 0)
            let first = LoopTask { try await semaphore.acquire() }
            let second = LoopTask { try await semaphore.acquire() }
            try await turns()
            first.cancel()
            try semaphore.release()
            try await second.value
            await #expect(throws: CancelledError.self) { try await first.value }
            #expect(semaphore.value == 0)
        }
    }

    @Test func entry98_aBoundedSemaphoreRefusesAReleaseTooMany() async throws {
        try await withLoop {
            let semaphore = try BoundedSemaphore(value: 2)
            #expect(semaphore.bound == 2)
            await expectError(.misuse) { try semaphore.release() }
            try await semaphore.acquire()
            try semaphore.release()
            await expectError(.misuse) { try semaphore.release() }
            #expect(semaphore.value == 2)
            try await semaphore.withPermit { #expect(semaphore.value == 1) }
            await expectError(.misuse) { try await semaphore.withPermit { try semaphore.release() } }
        }
    }

    @Test func closingTheLoopCancelsWhoWaits() async throws {
        let loop = try EventLoop(clock: .virtual)
        let semaphore = try Semaphore(value: 0, on: loop)
        let task = LoopTask(on: loop) { try await semaphore.acquire() }
        try await onOwnThread {
            loop.stop()
            try loop.runForever()
            try loop.close()
        }
        #expect(task.isCancelled)
    }

    @Test func aPlainTaskCanHoldAPermitAndBeCancelled() async throws {
        try await withLoop(clock: .system) {
            let semaphore = try Semaphore(value: 1)
            let holder = Task.detached { try await semaphore.withPermit { 42 } }
            #expect(try await holder.value == 42)
            try await semaphore.acquire()
            #expect(semaphore.value == 0)
            let cancelled = Task.detached { try await semaphore.acquire() }
            while semaphore.waitingCount == 0 { try await LoopTask.sleep(for: .milliseconds(1)) }
            cancelled.cancel()
            await #expect(throws: CancellationError.self) { try await cancelled.value }
            try semaphore.release()
            #expect(semaphore.value == 1)
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func whateverIsCancelledNoPermitIsLostOrMade(seed: UInt64) async throws {
        try await withLoop {
            let semaphore = try Semaphore(value: 3)
            let random = Shared(Seeded(seed))
            let held = Shared(0)
            let tasks = (0..<40).map { _ in
                LoopTask {
                    try await turns(Int.random(in: 0..<6, using: &random.value))
                    try await semaphore.withPermit {
                        held.value += 1
                        defer { held.value -= 1 }
                        #expect(held.value <= 3)
                        #expect(semaphore.value >= 0 && held.value + semaphore.value <= 3)
                        try await turns(Int.random(in: 0..<3, using: &random.value))
                    }
                }
            }
            for _ in 0..<40 {
                try await turns(Int.random(in: 0..<2, using: &random.value))
                tasks.randomElement(using: &random.value)?.cancel()
            }
            for task in tasks {
                do { try await task.value } catch is CancelledError { continue }
            }
            #expect(semaphore.value == 3)
            #expect(!semaphore.isLocked)
        }
    }
}
