import Testing
@testable import AsyncUV

@Suite struct BarrierTests {
    @Test func allGoOnWhenTheLastOneHasArrivedAndEachKnowsItsPlace() async throws {
        try await withLoop {
            let barrier = try Barrier(parties: 3)
            let tasks = (0..<2).map { _ in LoopTask { try await barrier.wait() } }
            try await turns(3)
            #expect(barrier.waitingCount == 2)
            #expect(barrier.parties == 3)
            #expect(tasks.allSatisfy { !$0.isDone })
            #expect(try await barrier.wait() == 2)
            #expect(try await tasks[0].value == 0)
            #expect(try await tasks[1].value == 1)
            #expect(barrier.waitingCount == 0)
        }
    }

    @Test func itIsUsedRoundAfterRound() async throws {
        try await withLoop {
            let barrier = try Barrier(parties: 2)
            let log = Log()
            let tasks = (0..<2).map { index in
                LoopTask {
                    for round in 0..<3 {
                        _ = try await barrier.wait()
                        log("round \(round)")
                        try await turns(index * 4)
                    }
                }
            }
            for task in tasks { try await task.value }
            #expect(log.entries == ["round 0", "round 0", "round 1", "round 1", "round 2", "round 2"])
        }
    }

    @Test func aBarrierNeedsAParty() async throws {
        try await withLoop {
            await expectError(.misuse) { try Barrier(parties: 0) }
            let alone = try Barrier(parties: 1)
            #expect(try await alone.wait() == 0)
            #expect(try await alone.wait() == 0)
        }
    }

    @Test func entry99_aCancelledWaiterLeavesAndTheBarrierIsNotBroken() async throws {
        try await withLoop {
            let barrier = try Barrier(parties: 2)
            let cancelled = LoopTask { try await barrier.wait() }
            try await turns()
            cancelled.cancel()
            await #expect(throws: CancelledError.self) { try await cancelled.value }
            #expect(barrier.waitingCount == 0)
            #expect(!barrier.isBroken)
            let first = LoopTask { try await barrier.wait() }
            try await turns()
            #expect(try await barrier.wait() == 1)
            #expect(try await first.value == 0)
        }
    }

    @Test func entry99_resetBreaksWhoWaitsAndTheBarrierCanBeUsedAgain() async throws {
        try await withLoop {
            let barrier = try Barrier(parties: 2)
            let waiter = LoopTask { try await barrier.wait() }
            try await turns()
            try await barrier.reset()
            await expectError(.brokenBarrier) { try await waiter.value }
            #expect(!barrier.isBroken)
            #expect(barrier.waitingCount == 0)
            let first = LoopTask { try await barrier.wait() }
            try await turns()
            #expect(try await barrier.wait() == 1)
            #expect(try await first.value == 0)
        }
    }

    @Test func entry99_abortBreaksItUntilItIsReset() async throws {
        try await withLoop {
            let barrier = try Barrier(parties: 2)
            let waiter = LoopTask { try await barrier.wait() }
            try await turns()
            try await barrier.abort()
            await expectError(.brokenBarrier) { try await waiter.value }
            #expect(barrier.isBroken)
            await expectError(.brokenBarrier) { try await barrier.wait() }
            try await barrier.reset()
            #expect(!barrier.isBroken)
            let first = LoopTask { try await barrier.wait() }
            try await turns()
            #expect(try await barrier.wait() == 1)
            #expect(try await first.value == 0)
        }
    }

    @Test func entry99_whoArrivesWhileARoundDrainsWaitsForTheNext() async throws {
        try await withLoop {
            let barrier = try Barrier(parties: 2)
            let first = LoopTask { try await barrier.wait() }
            try await turns()
            // The second one fills the barrier; the third comes before the first one has left.
            #expect(try await barrier.wait() == 1)
            let third = LoopTask(eager: true) { try await barrier.wait() }
            #expect(try await first.value == 0)
            try await turns(3)
            #expect(!third.isDone)
            #expect(barrier.waitingCount == 1)
            #expect(try await barrier.wait() == 1)
            #expect(try await third.value == 0)
        }
    }

    @Test func closingTheLoopCancelsWhoWaits() async throws {
        let loop = try EventLoop(clock: .virtual)
        let barrier = try Barrier(parties: 3, on: loop)
        let tasks = (0..<2).map { _ in LoopTask(on: loop) { try await barrier.wait() } }
        try await onOwnThread {
            loop.stop()
            try loop.runForever()
            try loop.close()
        }
        #expect(tasks.allSatisfy { $0.isCancelled })
    }

    @Test func plainTasksCanMeetThere() async throws {
        try await withLoop(clock: .system) {
            let barrier = try Barrier(parties: 2)
            let cancelled = Task.detached { try await barrier.wait() }
            while barrier.waitingCount == 0 { try await LoopTask.sleep(for: .milliseconds(1)) }
            cancelled.cancel()
            await #expect(throws: CancellationError.self) { try await cancelled.value }
            let first = Task.detached { try await barrier.wait() }
            while barrier.waitingCount == 0 { try await LoopTask.sleep(for: .milliseconds(1)) }
            #expect(try await barrier.wait() == 1)
            #expect(try await first.value == 0)
        }
    }
}
