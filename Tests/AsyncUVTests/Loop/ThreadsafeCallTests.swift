import Foundation
import Testing
import UVCore
@testable import AsyncUV

@Suite struct ThreadsafeCallTests {
    @Test func entry09_aPostWakesALoopThatSleeps() async throws {
        try await withRunningLoop(clock: .system) { loop in
            for number in 0..<100 {
                let value = try await LoopTask(on: loop) { number }.value
                #expect(value == number)
            }
        }
    }

    @Test func entry09_cancelFromAnotherThreadWaitsWhileTheCallbackRuns() async throws {
        let log = Log()
        try await withBareLoop(clock: .system) { loop in
            let started = DispatchSemaphore(value: 0)
            let cancelled = DispatchSemaphore(value: 0)
            let handle = try loop.callSoonThreadsafe {
                started.signal()
                // Never signalled in here: the canceller waits for this callback.
                #expect(cancelled.wait(timeout: .now() + 0.05) == .timedOut)
                log("callback ends")
                loop.stop()
            }
            Thread {
                started.wait()
                handle.cancel()
                log("cancel returns, cancelled: \(handle.isCancelled)")
                cancelled.signal()
            }.start()
            try loop.runForever()
            cancelled.wait()
        }
        #expect(log.entries == ["callback ends", "cancel returns, cancelled: false"])
    }

    @Test func entry09_aCallbackMayCancelItself() async throws {
        final class Box: @unchecked Sendable { var handle: Handle? }
        try await withBareLoop { loop in
            let box = Box()
            box.handle = try loop.callSoonThreadsafe {
                box.handle?.cancel()
                #expect(box.handle?.isCancelled == false)
            }
            _ = try loop.runUntilIdle()
            box.handle = nil
        }
    }

    @Test func entry09_cancelFromAnotherThreadBeforeTheRun() async throws {
        let log = Log()
        try await withBareLoop { loop in
            let handle = try loop.callSoonThreadsafe { log("never") }
            try onOtherThread { handle.cancel() }
            #expect(handle.isCancelled)
            _ = try loop.runUntilIdle()
        }
        #expect(log.entries.isEmpty)
    }

    @Test func entry09_callSoonFromAnotherThreadIsMisuse() async throws {
        try await withRunningLoop(clock: .system) { loop in
            let error = #expect(throws: LoopError.self) { try loop.callSoon {} }
            #expect(error?.code == .misuse && error?.description.contains("callSoonThreadsafe") == true)
        }
    }

    @Test func entry09_aTimerHandleIsCancelledFromAnotherThreadByAPost() async throws {
        let log = Log()
        try await withBareLoop { loop in
            let timer = try loop.callLater(.seconds(3600)) { log("never") }
            try onOtherThread { timer.cancel() }
            #expect(try loop.runUntilIdle() == .idle)
            #expect(timer.isCancelled)
            #expect(loop.now.nanoseconds == 0)
        }
        #expect(log.entries.isEmpty)
    }

    /// Loop-confined, so without a lock: what the thread sanitizer watches here is the inbox.
    private final class Arrivals: @unchecked Sendable { var ofThread = [[Int]](repeating: [], count: 8) }

    @Test(arguments: 0..<5) func fault21_postsOfEightThreadsThatRaceACloseAreRunOrRefused(round: Int) async throws {
        let each = 4000
        let arrivals = Arrivals()
        let refused = try await onOwnThread {
            let loop = try EventLoop()
            let finished = DispatchSemaphore(value: 0)
            let counts = Log()
            for thread in 0..<8 {
                Thread {
                    var refused = 0
                    for number in 0..<each {
                        do {
                            try loop.callSoonThreadsafe { arrivals.ofThread[thread].append(number) }
                        } catch {
                            refused += 1
                        }
                    }
                    counts("\(refused)")
                    finished.signal()
                }.start()
            }
            try loop.callLater(.milliseconds(round)) { loop.stop() }
            try loop.runForever()
            #expect(try loop.close().isEmpty)
            for _ in 0..<8 { finished.wait() }
            return counts.entries.compactMap { Int($0) }.reduce(0, +)
        }
        let ran = arrivals.ofThread.map(\.count).reduce(0, +)
        #expect(ran + refused == 8 * each)
        for numbers in arrivals.ofThread { #expect(numbers == Array(0..<numbers.count)) }
    }

    @Test func fault22_postsOfEightThreadsAreAllRunOrRefusedWhenTheLoopCloses() async throws {
        // The full million is `bench posts`, which scripts/check runs as it is and under the thread sanitizer.
        let each = 5_000
        let arrivals = Arrivals()
        let refused = try await onOwnThread {
            let loop = try EventLoop()
            let finished = DispatchSemaphore(value: 0)
            let closed = DispatchSemaphore(value: 0)
            let counts = Log()
            for thread in 0..<8 {
                Thread {
                    var refused = 0
                    for number in 0..<each {
                        // However fast this thread is, its last posts come to a closed loop.
                        if number == each - 100 { closed.wait() }
                        do {
                            try loop.callSoonThreadsafe {
                                arrivals.ofThread[thread].append(number)
                                // Most threads are in the middle of their posts.
                                if thread == 0 && number == each / 4 { loop.stop() }
                            }
                        } catch {
                            refused += 1
                        }
                    }
                    counts("\(refused)")
                    finished.signal()
                }.start()
            }
            try loop.runForever()
            #expect(try loop.close().isEmpty)
            for _ in 0..<8 { closed.signal() }
            for _ in 0..<8 { finished.wait() }
            return counts.entries.compactMap { Int($0) }.reduce(0, +)
        }
        let ran = arrivals.ofThread.map(\.count).reduce(0, +)
        #expect(ran + refused == 8 * each)
        #expect(ran > 0 && refused > 0)
        for numbers in arrivals.ofThread { #expect(numbers == Array(0..<numbers.count)) }
    }

    @Test(arguments: 0..<10) func fault21_tasksOfOtherThreadsThatRaceACloseAllEnd(round: Int) async throws {
        let tasks = try await onOwnThread {
            final class Tasks: @unchecked Sendable { var list: [LoopTask<Int>] = [] }
            let loop = try EventLoop()
            loop.setReportHandler { _ in }
            let finished = DispatchSemaphore(value: 0)
            let made = (0..<4).map { _ in Tasks() }
            for thread in 0..<4 {
                Thread {
                    for number in 0..<300 {
                        made[thread].list.append(
                            LoopTask(on: loop) {
                                try await LoopTask.yield()
                                return number
                            })
                    }
                    finished.signal()
                }.start()
            }
            try loop.callLater(.milliseconds(round % 5)) { loop.stop() }
            try loop.runForever()
            #expect(try loop.close().isEmpty)
            for _ in 0..<4 { finished.wait() }
            return made.flatMap(\.list)
        }
        var outcomes: [String: Int] = [:]
        for task in tasks {
            do {
                _ = try await task.value
                outcomes["ran", default: 0] += 1
            } catch is CancelledError {
                outcomes["cancelled", default: 0] += 1
            } catch let error as LoopError {
                outcomes[error.code.description, default: 0] += 1
            }
        }
        #expect(outcomes.values.reduce(0, +) == 1200, "\(outcomes)")
    }

    @Test func aLoopPerThreadWorksOnItsOwn() async throws {
        try await withThrowingTaskGroup(of: Int.self) { group in
            for thread in 0..<4 {
                group.addTask {
                    try await withLoop(clock: thread % 2 == 0 ? .system : .virtual) {
                        let loop = try #require(EventLoop.current)
                        let tasks = (0..<200).map { number in
                            LoopTask {
                                try await LoopTask.sleep(for: .milliseconds(number % 5))
                                #expect(EventLoop.current === loop)
                                return number
                            }
                        }
                        return try await LoopTask.gather(tasks).reduce(0, +)
                    }
                }
            }
            for try await sum in group { #expect(sum == 199 * 100) }
        }
    }
}
