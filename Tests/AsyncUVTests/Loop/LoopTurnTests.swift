import Testing
import UVCore
@testable import AsyncUV

private let clocks: [EventLoop.Clock] = [.virtual, .system]

@Suite struct LoopTurnTests {
    @Test func entry01_aTurnRunsExactlyWhatWasReadyWhenItBegan() async throws {
        let log = Log()
        try await withBareLoop { loop in
            try loop.callSoon {
                log("a in turn \(loop.turn)")
                try loop.callSoon { log("c in turn \(loop.turn)") }
            }
            try loop.callSoon { log("b in turn \(loop.turn)") }
            #expect(try loop.runUntilIdle() == .idle)
            #expect(loop.turn == 2)
        }
        #expect(log.entries == ["a in turn 1", "b in turn 1", "c in turn 2"])
    }

    @Test func entry01_aBusyLoopLooksAtItsPostsWithinTheBound() async throws {
        try await withBareLoop(clock: .system) { loop in
            func spin() throws {
                if loop.turn == 10 {
                    let posted = loop.turn
                    try loop.callSoonThreadsafe {
                        #expect(loop.turn <= posted + UInt64(EventLoop.maximumTurnsBetweenPolls) + 1)
                        loop.stop()
                    }
                }
                if loop.turn < 10_000 { try loop.callSoon { try spin() } }
            }
            try spin()
            try loop.runForever()
            #expect(loop.turn < 10_000)
            // What is left of the spinning ends with the loop.
        }
    }

    @Test(arguments: clocks) func entry01_aBusyLoopFiresItsTimers(clock: EventLoop.Clock) async throws {
        try await withBareLoop(clock: .system) { loop in
            func spin() throws { try loop.callSoon { try spin() } }
            try spin()
            try loop.callLater(.milliseconds(2)) { loop.stop() }
            try loop.runForever()
        }
    }

    @Test func entry02_callSoonIsFirstInFirstOutAndEachCallbackRunsOnce() async throws {
        let log = Log()
        try await withBareLoop { loop in
            for number in 0..<1000 { try loop.callSoon { log("\(number)") } }
            _ = try loop.runUntilIdle()
            _ = try loop.runUntilIdle()
        }
        #expect(log.entries == (0..<1000).map { "\($0)" })
    }

    @Test func entry02_aClosedLoopRefusesCallbacks() async throws {
        try await onOwnThread {
            let loop = try EventLoop()
            _ = try loop.close()
            for call in [
                { _ = try loop.callSoon {} }, { _ = try loop.callSoonThreadsafe {} }, { _ = try loop.callLater(.zero) {} },
                { _ = try loop.callAt(loop.now) {} }, { try loop.runForever() },
            ] as [() throws -> Void] {
                let error = #expect(throws: LoopError.self) { try call() }
                #expect(error?.code == .closed)
            }
            #expect(try loop.close().isEmpty)
        }
    }

    @Test(arguments: clocks) func entry04_callLaterIsCallAtFromNowOn(clock: EventLoop.Clock) async throws {
        let log = Log()
        try await withBareLoop(clock: clock) { loop in
            let start = loop.now
            let later = try loop.callLater(.milliseconds(4)) { log("later") }
            #expect(later.when >= start.advanced(by: .milliseconds(4)))
            #expect(later.when <= loop.now.advanced(by: .milliseconds(4)))
            try loop.callAt(start.advanced(by: .milliseconds(2))) { log("at") }
            _ = try loop.runUntilIdle()
        }
        #expect(log.entries == ["at", "later"])
    }

    @Test(arguments: clocks) func entry04_aNegativeDelayIsDueInTheNextTurn(clock: EventLoop.Clock) async throws {
        let log = Log()
        try await withBareLoop(clock: clock) { loop in
            try loop.callSoon {
                let turn = loop.turn
                try loop.callLater(.seconds(-5)) { log("later \(loop.turn - turn)") }
                try loop.callAt(LoopInstant(nanoseconds: -1)) { log("at \(loop.turn - turn)") }
                try loop.callLater(.seconds(Int64.min)) { log("earliest \(loop.turn - turn)") }
            }
            _ = try loop.runUntilIdle()
        }
        #expect(log.entries.sorted() == ["at 1", "earliest 1", "later 1"])
    }

    @Test func entry04_noTimerFiresEarlyOnTheSystemClock() async throws {
        try await withBareLoop(clock: .system) { loop in
            for step in 1...200 {
                let when = loop.now.advanced(by: .microseconds(step * 37))
                try loop.callAt(when) { #expect(loop.now >= when) }
            }
            _ = try loop.runUntilIdle()
        }
    }

    @Test(arguments: clocks) func entry04_equalTimersFireFirstInFirstOut(clock: EventLoop.Clock) async throws {
        let log = Log()
        try await withBareLoop(clock: clock) { loop in
            let when = loop.now.advanced(by: .milliseconds(3))
            let other = loop.now.advanced(by: .milliseconds(1))
            for number in 0..<100 {
                try loop.callAt(when) { log("\(number)") }
                // Holes in the heap must not disturb the order.
                try loop.callAt(number % 2 == 0 ? when : other) { log("never") }.cancel()
            }
            _ = try loop.runUntilIdle()
        }
        #expect(log.entries == (0..<100).map { "\($0)" })
    }

    @Test(arguments: clocks) func entry04_timersFireInTheOrderOfTheirDeadlines(clock: EventLoop.Clock) async throws {
        let log = Log()
        try await withBareLoop(clock: clock) { loop in
            let start = loop.now.advanced(by: .milliseconds(2))
            for number in (0..<100).reversed() {
                try loop.callAt(start.advanced(by: .microseconds(number * 20))) { log("\(number)") }
            }
            _ = try loop.runUntilIdle()
        }
        #expect(log.entries == (0..<100).map { "\($0)" })
    }

    @Test func entry04_timersBelongToTheLoopsThread() async throws {
        try await withBareLoop { loop in
            let error = #expect(throws: LoopError.self) {
                try onOtherThread { _ = try loop.callLater(.seconds(1)) {} }
            }
            #expect(error?.code == .misuse)
            #expect(error?.description.contains("callSoonThreadsafe") == true)
        }
    }

    @Test(arguments: clocks) func entry05_callLaterZeroRunsAfterWhatIsReadyAndBeforeWhatThatSchedules(clock: EventLoop.Clock) async throws {
        let log = Log()
        try await withBareLoop(clock: clock) { loop in
            try loop.callSoon {
                let turn = loop.turn
                try loop.callLater(.zero) { log("later0 +\(loop.turn - turn)") }
                try loop.callSoon {
                    log("soon +\(loop.turn - turn)")
                    try loop.callSoon { log("nested +\(loop.turn - turn)") }
                }
            }
            _ = try loop.runUntilIdle()
        }
        #expect(log.entries == ["soon +1", "later0 +1", "nested +2"])
    }

    @Test(arguments: clocks) func entry06_aCancelledTimerLeavesTheClockAtOnce(clock: EventLoop.Clock) async throws {
        try await withBareLoop(clock: clock) { loop in
            let handles = try (0..<200).map { number in try loop.callLater(.seconds(3600 + number % 7)) {} }
            for (number, handle) in handles.enumerated() where number % 3 != 0 { handle.cancel() }
            #expect(loop.statistics.armedTimers == 67)
            for handle in handles { handle.cancel() }
            #expect(loop.statistics.armedTimers == 0)
            #expect(handles.filter(\.isCancelled).count == 200)
            #expect(try loop.runUntilIdle() == .idle)
        }
    }

    @Test func entry07_stopLetsTheTurnFinish() async throws {
        let log = Log()
        try await withBareLoop { loop in
            try loop.callSoon {
                loop.stop()
                log("stop")
                try loop.callSoon { log("the next turn") }
            }
            try loop.callSoon { log("the same turn") }
            try loop.runForever()
            #expect(log.entries == ["stop", "the same turn"])
            #expect(try loop.runUntilIdle() == .idle)
        }
        #expect(log.entries == ["stop", "the same turn", "the next turn"])
    }

    @Test func entry07_stopBeforeARunRunsOneTurnAndDoesNotWait() async throws {
        let log = Log()
        try await withBareLoop(clock: .system) { loop in
            try loop.callSoon {
                log("first")
                try loop.callSoon { log("second") }
            }
            let timer = try loop.callLater(.seconds(3600)) { log("never") }
            loop.stop()
            try loop.runForever()
            #expect(log.entries == ["first"])
            loop.stop()
            try loop.runForever()
            #expect(log.entries == ["first", "second"])
            loop.stop()
            try loop.runForever()
            timer.cancel()
        }
    }

    @Test func entry07_stopFromAnotherThreadEndsTheRun() async throws {
        try await withBareLoop(clock: .system) { loop in
            // Stopped while it sleeps, and before it began.
            try loop.callSoon { try onOtherThread { loop.stop() } }
            try loop.runForever()
            try onOtherThread { loop.stop() }
            try loop.runForever()
        }
    }

    @Test func entry08_runUntilCompleteOfALoopThatIsStoppedThrows() async throws {
        try await withBareLoop(clock: .system) { loop in
            let future = try Future<Int>(on: loop)
            try loop.callSoon { loop.stop() }
            let error = #expect(throws: LoopError.self) { try loop.runUntilComplete(future) }
            #expect(error?.code == .stopped)
            // The done callback was taken back: what comes later stops no other run.
            try future.setResult(7)
            #expect(try loop.runUntilComplete(future) == 7)
        }
    }

    @Test func entry08_loopsDoNotNestOnOneThread() async throws {
        try await withBareLoop { loop in
            let other = try EventLoop()
            try loop.callSoon {
                let nested = #expect(throws: LoopError.self) { try other.runForever() }
                #expect(nested?.code == .misuse)
                #expect(nested?.description.contains("\(loop) runs on this thread") == true)
                let again = #expect(throws: LoopError.self) { _ = try loop.runUntilIdle() }
                #expect(again?.code == .misuse)
                #expect(throws: LoopError.self) { try EventLoop.run {} }
                #expect(EventLoop.current === loop)
            }
            _ = try loop.runUntilIdle()
            #expect(EventLoop.current == nil)
            _ = try other.close()
        }
    }

    @Test func entry08_aNestedRunUntilCompleteLeavesTheOuterRunAlone() async throws {
        try await withBareLoop { loop in
            let done = try Future<Int>(on: loop)
            try done.setResult(1)
            let task = LoopTask(on: loop) {
                let error = #expect(throws: LoopError.self) { try loop.runUntilComplete(done) }
                #expect(error?.code == .misuse)
                try await LoopTask.sleep(for: .seconds(1))
                return 2
            }
            #expect(try loop.runUntilComplete(task) == 2)
        }
    }

    @Test func entry08_aLoopThatRunsOnAnotherThreadCannotBeRunHere() async throws {
        try await withRunningLoop { loop in
            let error = await #expect(throws: LoopError.self) { try await onOwnThread { try loop.runForever() } }
            #expect(error?.code == .misuse)
            #expect(error?.description.contains("another thread") == true)
        }
    }

    @Test func entry08_runUntilCompleteRefusesTheFutureOfAnotherLoop() async throws {
        try await withBareLoop { loop in
            let other = try EventLoop()
            let future = try Future<Int>(on: other)
            let error = #expect(throws: LoopError.self) { try loop.runUntilComplete(future) }
            #expect(error?.code == .misuse)
            #expect(error?.description.contains("another loop") == true)
            _ = try other.close()
        }
    }

    @Test func entry08_aRunThatCanNeverEndSaysWhoWaits() async throws {
        try await withBareLoop { loop in
            let never = try Future<Void>(on: loop)
            let task = LoopTask(name: "the waiting one", on: loop) { try await never.value }
            let error = #expect(throws: LoopError.self) { try loop.runUntilComplete(task) }
            #expect(error?.code == .deadlock)
            #expect(error?.description.contains("the waiting one") == true)
            task.cancel()
        }
    }

    @Test(arguments: clocks) func instantsAndDurationsSaturate(clock: EventLoop.Clock) async throws {
        #expect(LoopInstant(nanoseconds: 5).advanced(by: .seconds(Int64.max)) == .distantFuture)
        #expect(LoopInstant.distantFuture.advanced(by: .nanoseconds(1)) == .distantFuture)
        #expect(LoopInstant(nanoseconds: -5).advanced(by: .seconds(Int64.min)) == LoopInstant(nanoseconds: .min))
        #expect(Duration(secondsComponent: 0, attosecondsComponent: 1).saturatedNanoseconds == 1)
        #expect(LoopInstant(nanoseconds: .min).duration(to: .distantFuture) > .seconds(Int64(18_000_000_000)))
        try await withBareLoop(clock: clock) { loop in
            let handle = try loop.callLater(.seconds(Int64.max)) {}
            #expect(handle.when == .distantFuture)
            loop.stop()
            try loop.runForever()
            #expect(loop.statistics.armedTimers == 1)
            handle.cancel()
        }
    }

    @Test func manyTimersAtOnceLeaveABoundedPool() async throws {
        try await withBareLoop(clock: .system) { loop in
            for _ in 0..<5000 { try loop.callLater(.milliseconds(1)) {} }
            #expect(loop.statistics.armedTimers == 5000)
            _ = try loop.runUntilIdle()
            #expect(loop.statistics.armedTimers == 0)
            #expect(loop.statistics.pooledTimers == EventLoop.timerPoolLimit)
            // What was over the limit is closed; the pool is closed with the loop.
            loop.stop()
            try loop.runForever()
            #expect(loop.uv?.openHandles()["timer"] ?? 0 <= EventLoop.timerPoolLimit)
        }
    }
}
