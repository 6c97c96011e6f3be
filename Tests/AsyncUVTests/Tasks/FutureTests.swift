import Testing
@testable import AsyncUV

@Suite struct FutureTests {
    @Test func entry11_aFutureIsSetOnceAndReadOnlyWhenItIsDone() async throws {
        try await withBareLoop { loop in
            let pending = try Future<Int>(on: loop)
            for read in [{ _ = try pending.result() }, { _ = try pending.error() }] as [() throws -> Void] {
                #expect(#expect(throws: LoopError.self) { try read() }?.code == .invalidState)
            }
            let cancelled = try Future<Int>(on: loop)
            cancelled.cancel()
            let failed = try Future<Int>(on: loop)
            try failed.setError(Boom())
            try pending.setResult(1)
            for future in [pending, cancelled, failed] {
                for set in [{ try future.setResult(2) }, { try future.setError(Boom()) }] as [() throws -> Void] {
                    #expect(#expect(throws: LoopError.self) { try set() }?.code == .invalidState)
                }
            }
            #expect(try pending.result() == 1)
            #expect(try pending.error() == nil)
            #expect(throws: CancelledError.self) { try cancelled.result() }
            #expect(try cancelled.error() is CancelledError)
            #expect(throws: Boom()) { try failed.result() }
            #expect(try failed.error() as? Boom == Boom())
        }
    }

    @Test func entry11_settingAFutureBelongsToItsLoopsThread() async throws {
        try await withBareLoop { loop in
            let future = try Future<Int>(on: loop)
            let error = #expect(throws: LoopError.self) { try onOtherThread { try future.setResult(1) } }
            #expect(error?.code == .misuse)
            #expect(error?.description.contains("callSoonThreadsafe") == true)
            #expect(!future.isDone)
        }
        #expect(#expect(throws: LoopError.self) { try Future<Int>() }?.code == .misuse)
    }

    @Test func entry12_cancelOfAPendingFutureActsAtOnce() async throws {
        try await withBareLoop { loop in
            let future = try Future<Int>(on: loop)
            #expect(future.cancel(message: "first"))
            #expect(future.isDone && future.isCancelled)
            #expect(!future.cancel(message: "second"))
            #expect(#expect(throws: CancelledError.self) { try future.result() }?.message == "first")
            let done = try Future<Int>(on: loop)
            try done.setResult(1)
            #expect(!done.cancel())
            #expect(!done.isCancelled)
        }
    }

    @Test func entry13_doneCallbacksRunInTheNextTurnInTheirOrder() async throws {
        let log = Log()
        try await withBareLoop { loop in
            loop.setReportHandler { log("report: \($0.message)") }
            let future = try Future<Int>(on: loop)
            future.addDoneCallback { _ in log("one") }
            let taken = future.addDoneCallback { _ in log("never") }
            future.addDoneCallback { _ in throw Boom() }
            future.addDoneCallback { _ in
                log("two in turn \(loop.turn)")
                future.addDoneCallback { _ in log("late in turn \(loop.turn)") }
            }
            #expect(future.removeDoneCallback(taken))
            #expect(!future.removeDoneCallback(taken))
            try loop.callSoon {
                try future.setResult(7)
                log("set in turn \(loop.turn)")
            }
            _ = try loop.runUntilIdle()
        }
        #expect(log.entries == ["set in turn 1", "one", "report: error of a done callback", "two in turn 2", "late in turn 3"])
    }

    @Test func entry13_waitersAndCallbacksAreServedInOneOrder() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let log = Log()
            let future = try Future<Int>()
            func awaiter(_ name: String) -> LoopTask<Void> {
                LoopTask {
                    _ = try await future.value
                    log(name)
                }
            }
            let tasks = [awaiter("task 1")]
            try await LoopTask.yield()
            future.addDoneCallback { _ in log("callback") }
            let more = awaiter("task 2")
            try await LoopTask.yield()
            let turn = loop.turn
            try future.setResult(1)
            _ = try await LoopTask.gather(tasks + [more])
            #expect(log.entries == ["task 1", "callback", "task 2"])
            #expect(loop.turn == turn + 3)
        }
    }

    @Test func entry13_aCallbackFromAnotherThreadIsPosted() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let log = Log()
            let future = try Future<Int>()
            try future.setResult(1)
            try onOtherThread { future.addDoneCallback { _ in log("on the loop: \(EventLoop.current === loop)") } }
            try await LoopTask.sleep(for: .seconds(1))
            #expect(log.entries == ["on the loop: true"])
        }
    }

    @Test func entry14_awaitingAFutureThatIsDoneDoesNotSuspendAndCannotBeCancelled() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let done = try Future<Int>()
            try done.setResult(7)
            let finished = LoopTask { 8 }
            _ = try await finished.value
            let turn = loop.turn
            let me = try #require(LoopTask.current)
            me.cancel()
            #expect(try await done.value == 7)
            #expect(try await finished.value == 8)
            #expect(try await LoopTask.shield(finished) == 8)
            #expect(loop.turn == turn)
            await #expect(throws: CancelledError.self) { try await LoopTask.yield() }
            me.uncancel()
        }
    }

    private func reports(_ body: @escaping @Sendable (EventLoop) throws -> Void) async throws -> [LoopReport] {
        let reports = Reports()
        try await withBareLoop { loop in
            loop.setReportHandler { reports.append($0) }
            try body(loop)
            _ = try loop.runUntilIdle()
        }
        return reports.all
    }

    @Test func entry15_anErrorThatNobodyFetchedIsReportedOnce() async throws {
        let all = try await reports { loop in
            try Future<Int>(on: loop).setError(Boom(name: "unseen"))
        }
        #expect(all.map(\.message) == ["the error of a future was never fetched"])
        #expect(all.first?.error as? Boom == Boom(name: "unseen"))
    }

    @Test func entry15_anErrorThatWasFetchedIsNotReported() async throws {
        let all = try await reports { loop in
            func failed() throws -> Future<Int> {
                let future = try Future<Int>(on: loop)
                try future.setError(Boom())
                return future
            }
            _ = try? failed().result()
            _ = try failed().error()
            // Cancelling what has failed says that nobody wants it.
            try failed().cancel()
            let awaited = try failed()
            _ = LoopTask(on: loop) { _ = try? await awaited.value }
            let inTime = try Future<Int>(on: loop)
            _ = LoopTask(on: loop) { _ = try? await inTime.value }
            try loop.callLater(.seconds(1)) { try inTime.setError(Boom()) }
            _ = LoopTask(on: loop) { _ = try? await LoopTask.gather([try failed(), try failed()]) }
            try Future<Int>(on: loop).cancel()
        }
        #expect(all.isEmpty, "\(all)")
    }

    @Test func entry15_theReportOfATaskNamesItAndSaysWhereItWasCreated() async throws {
        let line = #line + 2
        let all = try await reports { loop in
            _ = LoopTask(name: "a name that is too long to be stored in place", on: loop) { () async throws -> Int in
                try await LoopTask.sleep(for: .seconds(1))
                throw Boom(name: "one\ntwo")
            }
        }
        #expect(all.count == 1)
        #expect(all.first?.task == "a name that is too long to be stored in place")
        #expect(all.first?.created == "AsyncUVTests/FutureTests.swift:\(line)")
        #expect(all.first?.description.contains("\n") == false)
    }

    @Test func entry35_aProducerWhoseConsumerWasCancelledIsToldSo() async throws {
        try await withLoop {
            let future = try Future<Int>()
            let task = LoopTask { try await future.value }
            try await LoopTask.yield()
            task.cancel()
            #expect(#expect(throws: LoopError.self) { try future.setResult(1) }?.code == .invalidState)
            #expect(!future.setResultUnlessDone(1))
            await #expect(throws: CancelledError.self) { try await task.value }
        }
    }

    @Test func fault25_aLongChainOfCompletionsNeedsNoStack() async throws {
        let count = 200_000
        try await withBareLoop { loop in
            let futures = try (0...count).map { _ in try Future<Int>(on: loop) }
            for index in 0..<count {
                futures[index].addDoneCallback { _ in try futures[index + 1].setResult(index) }
            }
            try futures[0].setResult(0)
            #expect(try loop.runUntilComplete(futures[count]) == count - 1)
            #expect(loop.turn >= UInt64(count))
            let walk = LoopTask(on: loop) {
                var sum = 0
                for future in futures { sum += try await future.value }
                return sum
            }
            let turn = loop.turn
            #expect(try loop.runUntilComplete(walk) == (0..<count).reduce(0, +))
            #expect(loop.turn == turn + 2)
        }
    }
}

private final class Reports: @unchecked Sendable {
    // Sendable: filled on the loop's thread, read after it ended.
    private(set) var all: [LoopReport] = []
    func append(_ report: LoopReport) { all.append(report) }
}
