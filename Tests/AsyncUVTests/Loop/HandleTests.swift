import Testing
@testable import AsyncUV

private final class Witness: Sendable {}

@Suite struct HandleTests {
    @Test func entry03_aCallbackThatIsCancelledNeverRunsAndLetsGoOfWhatItHeld() async throws {
        let log = Log()
        try await withBareLoop { loop in
            weak var held: Witness?
            let handle: Handle
            let timer: TimerHandle
            do {
                let witness = Witness()
                held = witness
                handle = try loop.callSoon { log("soon \(witness)") }
                timer = try loop.callLater(.seconds(1)) { log("later \(witness)") }
            }
            #expect(held != nil)
            handle.cancel()
            timer.cancel()
            #expect(held == nil)
            handle.cancel()
            #expect(handle.isCancelled && timer.isCancelled)
            _ = try loop.runUntilIdle()
        }
        #expect(log.entries.isEmpty)
    }

    @Test func entry03_cancelAfterTheRunIsNoCancel() async throws {
        try await withBareLoop { loop in
            let handle = try loop.callSoon {}
            let timer = try loop.callLater(.seconds(1)) {}
            _ = try loop.runUntilIdle()
            // Its timer is in the pool, and may be somebody else's by now.
            let other = try loop.callLater(.seconds(1)) {}
            handle.cancel()
            timer.cancel()
            #expect(!handle.isCancelled && !timer.isCancelled && !other.isCancelled)
            #expect(loop.statistics.armedTimers == 1)
            _ = try loop.runUntilIdle()
        }
    }

    @Test func entry03_aCallbackThatCancelsItselfHasRun() async throws {
        try await withBareLoop { loop in
            var timer: TimerHandle?
            timer = try loop.callLater(.seconds(1)) { timer?.cancel() }
            _ = try loop.runUntilIdle()
            #expect(timer?.isCancelled == false)
            timer = nil
        }
    }

    @Test(arguments: [EventLoop.Clock.virtual, .system])
    func entry03_aTimerThatIsDueCanBeCancelledByTheEntryBeforeIt(clock: EventLoop.Clock) async throws {
        let log = Log()
        try await withBareLoop(clock: clock) { loop in
            let when = loop.now.advanced(by: .milliseconds(1))
            var second: TimerHandle?
            try loop.callAt(when) {
                log("first")
                second?.cancel()
            }
            second = try loop.callAt(when) { log("second") }
            _ = try loop.runUntilIdle()
            second = nil
        }
        #expect(log.entries == ["first"])
    }

    @Test func entry10_fault28_anErrorOfACallbackIsReportedAndTheLoopGoesOn() async throws {
        let log = Log()
        try await withBareLoop { loop in
            loop.setReportHandler { log("report: \($0.message): \($0.error as? Boom == Boom())") }
            try loop.callSoon { throw Boom() }
            try loop.callLater(.seconds(1)) { throw Boom() }
            try loop.callSoonThreadsafe { throw Boom() }
            try loop.callLater(.seconds(2)) { log("still running") }
            _ = try loop.runUntilIdle()
        }
        let report = "report: error of a callback: true"
        #expect(log.entries == [report, report, report, "still running"])
    }

    @Test func entry10_aReportHandlerThatThrowsDoesNotStopTheLoop() async throws {
        let log = Log()
        try await withBareLoop { loop in
            loop.setReportHandler { report in
                log("handler")
                throw LoopError(.misuse, "handler", "this line and the next are what the test is about: \(report)")
            }
            try loop.callSoon { throw Boom() }
            try loop.callSoon { log("after") }
            _ = try loop.runUntilIdle()
            loop.setReportHandler(nil)
        }
        #expect(log.entries == ["handler", "after"])
    }

    @Test(.timeLimit(.minutes(5))) func takingBackManyCallbacksThatAreDueAtOnceLeavesTheOthersInOrder() async throws {
        let log = Log()
        try await withBareLoop(clock: .system) { loop in
            // A search for each would take minutes.
            let handles = try (0..<100_000).map { number in try loop.callLater(.zero) { log("\(number)") } }
            for (number, handle) in handles.enumerated().reversed() where number % 25_000 != 0 { handle.cancel() }
            #expect(loop.statistics.armedTimers == 4)
            #expect(try loop.runUntilIdle() == .idle)
        }
        #expect(log.entries == ["0", "25000", "50000", "75000"])
    }
}
