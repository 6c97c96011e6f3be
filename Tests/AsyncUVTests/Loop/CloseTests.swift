import Testing
import UVCore
@testable import AsyncUV

@Suite struct CloseTests {
    @Test func fault26_closeCancelsUnfinishedTasksAndAwaitsThem() async throws {
        let log = Log()
        try await onOwnThread {
            let loop = try EventLoop(clock: .virtual)
            let task = LoopTask(name: "cleaner", on: loop) {
                defer { log("ended at \(loop.now.nanoseconds)") }
                do {
                    try await LoopTask.sleep(for: .seconds(3600))
                } catch let error as CancelledError {
                    log("\(error.origin.kind.rawValue)")
                    try await LoopTask.sleep(for: .nanoseconds(5))
                    throw error
                }
            }
            let unborn = try onOtherThread { LoopTask(on: loop) { try await LoopTask.sleep(for: .seconds(3600)) } }
            loop.stop()
            try loop.runForever()
            #expect(try loop.close().isEmpty)
            #expect(task.isCancelled && unborn.isCancelled)
            #expect(loop.unfinishedTasks.isEmpty)
            #expect(loop.isClosed)
        }
        #expect(log.entries == ["shutdown", "ended at 5"])
    }

    @Test func fault26_aTaskThatRefusesTheCloseIsReportedByNameAndLeftBehind() async throws {
        let log = Log()
        let (refuser, waiting) = try await onOwnThread {
            let loop = try EventLoop(clock: .system)
            loop.setReportHandler { log("\($0.message) [\($0.task ?? "")] \($0.created?.contains("CloseTests.swift:") == true)") }
            let refuser = LoopTask(name: "the one that refuses", on: loop) {
                while true {
                    do { try await LoopTask.sleep(for: .seconds(3600)) } catch {}
                }
            }
            let waiting = LoopTask(on: loop) { try await LoopTask.shield(refuser) }
            loop.stop()
            try loop.runForever()
            #expect(try loop.close(grace: .milliseconds(5)) == ["timer": 1])
            return (refuser, waiting)
        }
        #expect(log.entries == ["a task refuses its cancellation at shutdown [the one that refuses] true"])
        #expect(waiting.isCancelled)
        let error = await #expect(throws: LoopError.self) { try await refuser.value }
        #expect(error?.code == .closed)
    }

    @Test func tasksThatAreBornDuringTheCloseAreCancelledToo() async throws {
        let log = Log()
        try await onOwnThread {
            let loop = try EventLoop(clock: .virtual)
            _ = LoopTask(on: loop) {
                do {
                    try await LoopTask.sleep(for: .seconds(3600))
                } catch {
                    _ = LoopTask {
                        log("born")
                        defer { log("ended") }
                        try await LoopTask.sleep(for: .seconds(3600))
                    }
                }
            }
            loop.stop()
            try loop.runForever()
            #expect(try loop.close().isEmpty)
            #expect(loop.now.nanoseconds == 0)
        }
        #expect(log.entries == ["born", "ended"])
    }

    @Test func closeNamesTheHandlesThatOthersLeftOpen() async throws {
        try await onOwnThread {
            let loop = try EventLoop(clock: .system)
            let uv = try #require(loop.uv)
            let timer = try UVTimer(loop: uv) { _ in }
            let async = try UVAsync(loop: uv) {}
            let armed = try loop.callLater(.seconds(3600)) {}
            #expect(try loop.close() == ["timer": 2, "async": 1])
            #expect(timer.isClosing)
            withExtendedLifetime((async, armed)) {}
        }
    }

    @Test func closeBelongsToTheOwnerAndNotToARunningLoop() async throws {
        try await withBareLoop { loop in
            try loop.callSoon {
                let error = #expect(throws: LoopError.self) { try loop.close() }
                #expect(error?.code == .misuse)
            }
            _ = try loop.runUntilIdle()
            let error = #expect(throws: LoopError.self) { try onOtherThread { try loop.close() } }
            #expect(error?.code == .misuse)
            #expect(!loop.isClosed)
        }
    }

    @Test func callbacksOfWhatEndedWithTheLoopStillRun() async throws {
        let log = Log()
        try await onOwnThread {
            let loop = try EventLoop(clock: .virtual)
            LoopTask(on: loop) { try await LoopTask.sleep(for: .seconds(3600)) }.addDoneCallback { log("done, cancelled: \($0.isCancelled)") }
            loop.stop()
            try loop.runForever()
            try loop.callSoonThreadsafe { log("posted") }
            _ = try loop.close()
        }
        #expect(log.entries.sorted() == ["done, cancelled: true", "posted"])
    }

    @Test func aStopDoesNotCutTheCleaningUpShort() async throws {
        let log = Log()
        try await onOwnThread {
            let loop = try EventLoop(clock: .virtual)
            loop.setReportHandler { log("\($0)") }
            let task = LoopTask(name: "cleaner", on: loop) {
                do {
                    try await LoopTask.sleep(for: .seconds(3600))
                } catch {
                    loop.stop()
                    try await LoopTask.sleep(for: .seconds(1))
                    log("clean")
                    throw error
                }
            }
            loop.stop()
            try loop.runForever()
            // One that nobody has obeyed yet is no reason to leave anybody behind either.
            loop.stop()
            #expect(try loop.close().isEmpty)
            #expect(task.isCancelled)
        }
        #expect(log.entries == ["clean"])
    }

    @Test func aFutureThatEndsInTheTurnOfAStopDoesNotStopTheNextRun() async throws {
        try await onOwnThread {
            let loop = try EventLoop(clock: .virtual)
            let future = try Future<Void>(on: loop)
            try loop.callSoon {
                try future.setResult(())
                loop.stop()
            }
            try loop.runUntilComplete(future)
            #expect(try loop.runUntilIdle() == .idle)
            try loop.close()
        }
    }

    @Test(arguments: [EventLoop.Clock.system, .virtual])
    func whatIsLetGoOfAtTheEndMayCallTheLoopOnceMore(clock: EventLoop.Clock) async throws {
        let log = Log()
        try await onOwnThread {
            let loop = try EventLoop(clock: clock)
            // Still in the ready queue when the loop closes, because it puts itself there again in each turn.
            try keepGoing(on: loop, LastWill(loop, log))
            try loop.callLater(.seconds(3600), { [will = LastWill(loop, log)] in will.nothing() })
            // The timer is the callback's own.
            #expect(try loop.close() == (clock == .system ? ["timer": 1] : [:]))
            #expect(loop.isClosed)
        }
        #expect(log.entries.count == 2)
    }

    @Test func whoWaitsOutsideForAFutureIsToldThatItsLoopHasClosed() async throws {
        let outcome = try await withRunningLoop(clock: .system) { home in
            let other = try await onOwnThread { () throws -> (plain: Task<String, Never>, task: LoopTask<String>) in
                let loop = try EventLoop(clock: .system)
                let future = try Future<Void>(on: loop)
                @Sendable func wait() async -> String {
                    do { try await future.value } catch { return (error as? LoopError)?.code.description ?? "\(error)" }
                    return "a value"
                }
                let plain = Task { await wait() }
                let task = LoopTask(on: home) { await wait() }
                while loop.outsideWaits.count < 2 {
                    loop.stop()
                    try loop.runForever()
                }
                try loop.close()
                return (plain, task)
            }
            return [await other.plain.value, try await other.task.value]
        }
        #expect(outcome == ["closed", "closed"])
    }
}

/// Calls its loop when it goes.
private final class LastWill: @unchecked Sendable {
    // Sendable: used on the loop's thread.
    private let loop: EventLoop
    private let log: Log

    init(_ loop: EventLoop, _ log: Log) {
        self.loop = loop
        self.log = log
    }

    func nothing() {}

    deinit {
        _ = try? loop.callSoon {}
        _ = try? loop.callLater(.seconds(1)) {}
        log("gone")
    }
}

private func keepGoing(on loop: EventLoop, _ will: LastWill) throws {
    try loop.callSoon { try keepGoing(on: loop, will) }
}
