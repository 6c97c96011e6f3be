import Testing
@testable import AsyncUV

@Suite struct WaitForTests {
    @Test func entry58_onTimeoutTheTaskIsCancelledAndAwaitedToItsEnd() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let slow = LoopTask {
                do {
                    try await LoopTask.sleep(for: .seconds(100))
                } catch {
                    try await LoopTask.sleep(for: .seconds(3))
                    throw error
                }
            }
            await #expect(throws: TimeoutError.self) { try await LoopTask.waitFor(slow, timeout: .seconds(1)) }
            #expect(loop.now.nanoseconds == 4_000_000_000)
            #expect(slow.isCancelled)
        }
    }

    @Test func entry59_aTaskThatRefusesGivesItsValue() async throws {
        try await withLoop {
            let stubborn = LoopTask { () async throws in
                do { try await LoopTask.sleep(for: .seconds(100)) } catch {}
                return "all the same"
            }
            let value = try await LoopTask.waitFor(stubborn, timeout: .seconds(1))
            #expect(value == "all the same")
            #expect(LoopTask.current?.cancelling() == 0)
        }
    }

    @Test func entry59_anErrorThrownWhileBeingCancelledComesThrough() async throws {
        try await withLoop {
            let failing = LoopTask {
                do { try await LoopTask.sleep(for: .seconds(100)) } catch { throw Boom() }
            }
            await #expect(throws: Boom.self) { try await LoopTask.waitFor(failing, timeout: .seconds(1)) }
        }
    }

    @Test func entry60_withoutTimeADoneTaskGivesItsValueAndAnotherNeverBegins() async throws {
        try await withLoop {
            let done = LoopTask { 7 }
            _ = try await done.value
            #expect(try await LoopTask.waitFor(done, timeout: .zero) == 7)
            let log = Log()
            let unborn = LoopTask { log("began") }
            await #expect(throws: TimeoutError.self) { try await LoopTask.waitFor(unborn, timeout: .seconds(-1)) }
            #expect(unborn.isCancelled && log.entries.isEmpty)
        }
    }

    @Test(arguments: [nil, Duration.seconds(50)]) func entry61_cancellingTheWaiterCancelsTheTask(timeout: Duration?) async throws {
        try await withLoop {
            let inner = LoopTask { try await LoopTask.sleep(for: .seconds(100)) }
            let waiter = LoopTask { try await LoopTask.waitFor(inner, timeout: timeout) }
            try await LoopTask.sleep(for: .seconds(1))
            waiter.cancel()
            await #expect(throws: CancelledError.self) { try await waiter.value }
            #expect(waiter.isCancelled && inner.isCancelled)
        }
    }

    @Test func entry61_aCancelInTheTickOfTheResultIsNotLost() async throws {
        try await withLoop {
            let future = try Future<Int>()
            let waiter = LoopTask { try await LoopTask.waitFor(future, timeout: .seconds(50)) }
            try await LoopTask.sleep(for: .seconds(1))
            try future.setResult(1)
            #expect(waiter.cancel())
            await #expect(throws: CancelledError.self) { try await waiter.value }
            #expect(try future.result() == 1)
        }
    }

    @Test func entry62_aShieldInsideLeavesTheTaskRunning() async throws {
        try await withLoop {
            let inner = LoopTask { () async throws in
                try await LoopTask.sleep(for: .seconds(5))
                return 7
            }
            let shielded = LoopTask { try await LoopTask.shield(inner) }
            await #expect(throws: TimeoutError.self) { try await LoopTask.waitFor(shielded, timeout: .seconds(1)) }
            #expect(!inner.isDone)
            let value = try await inner.value
            #expect(value == 7)
        }
    }

    @Test func aPlainTaskCanWaitWithATimeout() async throws {
        try await withLoop {
            let slow = LoopTask { try await LoopTask.sleep(for: .seconds(100)) }
            async let waiting: Void = LoopTask.waitFor(slow, timeout: .seconds(1))
            do {
                try await waiting
                Issue.record("the timeout did not come")
            } catch is TimeoutError {
                #expect(slow.isCancelled)
            }
        }
    }

    @Test func aWaitThatWasCancelledLeavesNothingBehindThatWakesTheNextOne() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let gate = try Future<Void>()
            let refuser = LoopTask { do { try await LoopTask.sleep(for: .seconds(3600)) } catch { try await gate.value } }
            try await LoopTask.yield()
            let waiter = LoopTask {
                do {
                    try await LoopTask.waitFor(refuser, timeout: .zero)
                } catch is CancelledError {
                    try await LoopTask.sleep(for: .seconds(5))
                }
                return loop.now.nanoseconds
            }
            for _ in 0..<4 { try await LoopTask.yield() }
            // In the next turn the waiter is cancelled first, and then what it waits for ends.
            try loop.callSoon { waiter.cancel() }
            try gate.setResult(())
            #expect(try await waiter.value == 5_000_000_000)
            try await refuser.value
        }
    }
}
