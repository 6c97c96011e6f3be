import Foundation
import Testing
@testable import AsyncUV

@Suite struct RunTests {
    @Test func runGivesBackWhatMainReturnsAndThrowsWhatItThrows() async throws {
        try await onOwnThread {
            let value = try EventLoop.run(clock: .virtual) { 7 }
            #expect(value == 7)
            #expect(throws: Boom.self) { try EventLoop.run(clock: .virtual) { throw Boom() } }
            #expect(EventLoop.current == nil)
        }
    }

    @Test(arguments: [("obey", SIGINT, "SIGINT"), ("obey", SIGTERM, "SIGTERM")])
    func entry104_theFirstSignalCancelsMainAndTheProcessEndsByIt(mode: String, signal: Int32, name: String) async throws {
        let (output, _, status) = try await onOwnThread {
            let program = try ChildProgram("SignalProbe", mode)
            #expect(program.line() == "ready")
            program.send(signal)
            return program.end()
        }
        #expect(output == ["main: cancelled by signal \(name)"])
        #expect(status == -signal)
    }

    @Test func entry104_mainMayRefuseTheSignalAndReturn() async throws {
        let (output, _, status) = try await onOwnThread {
            let program = try ChildProgram("SignalProbe", "refuse")
            #expect(program.line() == "ready")
            program.send(SIGTERM)
            return program.end()
        }
        #expect(output == ["main: cancelled by signal SIGTERM", "run returned"])
        #expect(status == 0)
    }

    @Test func entry104_runThrowsInterruptedIfThatIsAskedFor() async throws {
        let (output, _, status) = try await onOwnThread {
            let program = try ChildProgram("SignalProbe", "throw")
            #expect(program.line() == "ready")
            program.send(SIGINT)
            return program.end()
        }
        #expect(output == ["main: cancelled by signal SIGINT", "run threw interrupted"])
        #expect(status == 0)
    }

    @Test(arguments: ["second", "stalled"]) func entry104_aSecondSignalEndsTheProcessAtOnce(mode: String) async throws {
        let (_, _, status) = try await onOwnThread {
            let program = try ChildProgram("SignalProbe", mode)
            #expect(program.line() == "ready")
            program.send(SIGINT)
            if mode == "second" {
                #expect(program.line() == "main: cancelled by signal SIGINT")
            } else {
                // Two signals that are pending at once would be one: the first is taken when the process has left it behind.
                while program.hasPending(SIGINT) {}
            }
            program.send(SIGINT)
            return program.end()
        }
        #expect(status == -SIGINT)
    }

    @Test func entry105_whatStillRunsIsCancelledAndAwaitedAndWhoRefusesIsNamed() async throws {
        let (output, errors, status) = try await onOwnThread {
            let program = try ChildProgram("SignalProbe", "leftover")
            #expect(program.line() == "ready")
            program.send(SIGTERM)
            return program.end()
        }
        #expect(output.contains("obedient: cancelled"))
        #expect(errors.contains("refuses its cancellation") && errors.contains("stubborn"))
        #expect(!errors.contains("obedient"))
        #expect(status == -SIGTERM)
    }

    @Test func entry105_anErrorOfATaskThatIsCancelledAtTheEndIsReported() async throws {
        let reports = Log()
        try await onOwnThread {
            try EventLoop.run(clock: .virtual) {
                let loop = try #require(EventLoop.current)
                loop.setReportHandler { reports($0.description) }
                _ = LoopTask(name: "sore loser") {
                    do { try await LoopTask.sleep(for: .seconds(60)) } catch { throw Boom() }
                }
                try await LoopTask.yield()
            }
        }
        #expect(reports.entries.count == 1)
        #expect(reports.entries.first?.contains("sore loser") == true)
    }

    @Test func entry106_aTaskBornWhileTheLoopEndsIsCancelledToo() async throws {
        let log = Log()
        try await onOwnThread {
            try EventLoop.run(clock: .virtual) {
                _ = LoopTask {
                    do { try await LoopTask.sleep(for: .seconds(60)) } catch {
                        _ = LoopTask {
                            log("born")
                            do { try await LoopTask.sleep(for: .seconds(60)) } catch {
                                log("cancelled")
                                throw error
                            }
                        }
                        throw error
                    }
                }
                try await LoopTask.yield()
            }
        }
        #expect(log.entries == ["born", "cancelled"])
    }

    @Test func entry106_aTaskThatWaitsForNothingIsNamedAndLeftBehind() async throws {
        let reports = Log()
        try await onOwnThread {
            try EventLoop.run(clock: .virtual) {
                let loop = try #require(EventLoop.current)
                loop.setReportHandler { reports($0.description) }
                _ = LoopTask(name: "stuck") {
                    let never = try Event()
                    while true { _ = try? await never.wait() }
                }
                try await LoopTask.yield()
            }
        }
        #expect(reports.entries.contains { $0.contains("stuck") })
    }

    @Test func entry107_aLoopCanRunAgainAndAgainAndClosesOnce() async throws {
        try await onOwnThread {
            let loop = try EventLoop(clock: .virtual)
            for number in 0..<3 {
                let task = LoopTask(on: loop) { () async throws in
                    try await LoopTask.sleep(for: .seconds(1))
                    return number
                }
                #expect(try loop.runUntilComplete(task) == number)
            }
            #expect(loop.now.nanoseconds == 3_000_000_000)
            try loop.close()
            try loop.close()
            let closed = #expect(throws: LoopError.self) { try loop.runForever() }
            #expect(closed?.code == .closed)
        }
    }

    @Test func entry107_insideARunningLoopRunIsMisuse() async throws {
        try await withLoop {
            let error = #expect(throws: LoopError.self) { try EventLoop.run { 7 } }
            #expect(error?.code == .misuse)
        }
    }

    @Test func onAVirtualClockADeadlockIsAnErrorThatNamesTheTasks() async throws {
        try await onOwnThread {
            let error = #expect(throws: LoopError.self) {
                try EventLoop.run(clock: .virtual) {
                    let never = try Future<Void>()
                    try await never.value
                }
            }
            #expect(error?.code == .deadlock && error?.description.contains("main") == true)
        }
    }
}
