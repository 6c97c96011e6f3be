import Testing
@testable import AsyncUV

/// Sleeps for an hour, and says in which turn, counted from `mark`, the cancellation came.
private final class Mark: @unchecked Sendable {
    // Sendable: used on one loop's thread only.
    private let loop: EventLoop
    private var turn: UInt64 = 0
    let log = Log()

    init() throws { loop = try #require(EventLoop.current) }

    func set() { turn = loop.turn }
    func callAsFunction(_ entry: String) { log("\(entry) +\(loop.turn - turn)") }
    var entries: [String] { log.entries }
}

private func hour() async throws { try await LoopTask.sleep(for: .seconds(3600)) }

/// Runs `body`, and says in `mark` when it was cancelled, before it throws on.
private func watched<Value>(_ name: String, _ mark: Mark, _ body: () async throws -> Value) async throws -> Value {
    do {
        return try await body()
    } catch let error as CancelledError {
        mark(name)
        throw error
    }
}

@Suite struct CancellationTests {
    @Test func entry25_cancelIsARequestAndRefusedOnlyByWhatIsDone() async throws {
        try await withLoop {
            let task = LoopTask { try await hour() }
            try await LoopTask.yield()
            #expect(task.cancel())
            #expect(task.cancelling() == 1)
            #expect(!task.isCancelled && !task.isDone)
            await #expect(throws: CancelledError.self) { try await task.value }
            #expect(!task.cancel())
            #expect(task.cancelling() == 1)
            let finished = LoopTask { 1 }
            _ = try await finished.value
            #expect(!finished.cancel())
            #expect(finished.cancelling() == 0)
            #expect(task.cancelRequests.map(\.requester) == ["test"])
            #expect(task.cancelRequests.first?.file == "AsyncUVTests/CancellationTests.swift")
        }
    }

    @Test func entry26_aTaskIsCancelledWhenItsBodyEndsSoWhoeverAsked() async throws {
        try await withLoop {
            let task = LoopTask { throw CancelledError(message: "by hand") }
            let error = await #expect(throws: CancelledError.self) { try await task.value }
            #expect(error?.message == "by hand")
            #expect(error?.origin.kind == .thrown)
            #expect(task.isCancelled && task.cancelling() == 0)
            // Foreign code says it its own way.
            let foreign = LoopTask { throw CancellationError() }
            await #expect(throws: CancelledError.self) { try await foreign.value }
            #expect(foreign.isCancelled && foreign.cancelling() == 0)
        }
    }

    @Test func entry27_cancelReachesTheAwaitedFutureAtOnceAndTheTaskInTheNextTurn() async throws {
        try await withLoop {
            let mark = try Mark()
            let future = try Future<Int>()
            let task = LoopTask { try await watched("task", mark) { try await future.value } }
            try await LoopTask.yield()
            mark.set()
            task.cancel()
            #expect(future.isCancelled)
            #expect(!task.isDone)
            await #expect(throws: CancelledError.self) { try await task.value }
            #expect(mark.entries == ["task +1"])
        }
    }

    @Test func entry28_cancelGoesDownToTheLeafAtOnce() async throws {
        try await withLoop {
            let future = try Future<Int>()
            let leaf = LoopTask { try await future.value }
            let middle = LoopTask { try await leaf.value }
            let top = LoopTask { try await middle.value }
            try await LoopTask.yield()
            #expect(top.cancel(message: "all"))
            #expect([top, middle, leaf].map { $0.cancelling() } == [1, 1, 1])
            #expect(future.isCancelled)
            let error = await #expect(throws: CancelledError.self) { try await top.value }
            #expect(error?.message == "all")
            #expect(leaf.isCancelled && middle.isCancelled && top.isCancelled)
        }
    }

    @Test func entry28_cancelGoesDownALongChainWithoutTheStack() async throws {
        try await withLoop {
            let future = try Future<Int>()
            var top = LoopTask { try await future.value }
            for _ in 0..<20_000 {
                let below = top
                top = LoopTask { try await below.value }
            }
            try await LoopTask.yield()
            top.cancel()
            #expect(future.isCancelled)
            await #expect(throws: CancelledError.self) { try await top.value }
        }
    }

    @Test func entry29_whoAwaitsATaskThatRefusesGetsItsValueAndNoCancellation() async throws {
        try await withLoop {
            let inner = LoopTask {
                do { try await hour() } catch {}
                return 7
            }
            let outer = LoopTask {
                let value = try await inner.value
                try await LoopTask.yield()
                return value
            }
            try await LoopTask.yield()
            #expect(outer.cancel())
            #expect(try await outer.value == 7)
            #expect(outer.cancelling() == 1)
            #expect(!outer.isCancelled && !inner.isCancelled)
        }
    }

    @Test func entry30_unwindingCostsOneTurnATaskAndNoneACall() async throws {
        try await withLoop {
            let mark = try Mark()
            let leaf = LoopTask {
                try await watched("leaf, outer call", mark) { try await watched("leaf, inner call", mark) { try await hour() } }
            }
            let middle = LoopTask { try await watched("middle", mark) { try await leaf.value } }
            let top = LoopTask { try await watched("top", mark) { try await middle.value } }
            let awaiter = LoopTask { try await watched("awaiter", mark) { try await top.value } }
            try await LoopTask.yield()
            mark.set()
            top.cancel()
            await #expect(throws: CancelledError.self) { try await awaiter.value }
            #expect(mark.entries == ["leaf, inner call +1", "leaf, outer call +1", "middle +2", "top +3", "awaiter +4"])
        }
    }

    @Test func entry31_twoWhoAwaitTheSameTaskShareItsCancellation() async throws {
        try await withLoop {
            let shared = LoopTask { try await hour() }
            let one = LoopTask { try await shared.value }
            let other = LoopTask { try await shared.value }
            try await LoopTask.yield()
            one.cancel()
            await #expect(throws: CancelledError.self) { try await other.value }
            #expect(other.isCancelled && other.cancelling() == 0)
            #expect(one.isCancelled && one.cancelling() == 1)
        }
    }

    @Test func entry32_awaitingACancelledTaskThrowsItsCancellation() async throws {
        try await withLoop {
            let inner = LoopTask { try await hour() }
            let outer = LoopTask {
                do {
                    try await inner.value
                } catch let error as CancelledError {
                    return "\(error.message ?? "") \(LoopTask.current?.cancelling() ?? -1)"
                }
                return "not cancelled"
            }
            try await LoopTask.yield()
            inner.cancel(message: "inner")
            #expect(try await outer.value == "inner 0")
            // Done and cancelled: thrown without a wait.
            let error = await #expect(throws: CancelledError.self) { try await inner.value }
            #expect(error?.message == "inner")
        }
    }

    @Test func entry33_aTaskThatIsCancelledBeforeItsFirstStepNeverRuns() async throws {
        try await withLoop {
            let log = Log()
            let task = LoopTask {
                defer { log("defer") }
                log("body")
            }
            #expect(task.cancel(message: "too early"))
            #expect(!task.isDone)
            let error = await #expect(throws: CancelledError.self) { try await task.value }
            #expect(error?.message == "too early")
            #expect(task.isCancelled && log.entries.isEmpty)
        }
    }

    @Test func entry34_cancelWinsOverAFutureThatWasCompletedInTheSameTurn() async throws {
        try await withLoop {
            let mark = try Mark()
            let future = try Future<Int>()
            let task = LoopTask {
                do {
                    return try await future.value
                } catch is CancelledError {
                    mark("cancelled")
                    return -1
                }
            }
            try await LoopTask.yield()
            mark.set()
            try future.setResult(7)
            #expect(task.cancel())
            #expect(try await task.value == -1)
            #expect(try future.result() == 7)
            #expect(mark.entries == ["cancelled +1"])
        }
    }

    @Test func entry34_cancelAndThenCompletionInOneTurnIsACancellationOnce() async throws {
        try await withLoop {
            let failing = try Future<Int>()
            let task = LoopTask {
                do { _ = try await failing.value } catch is CancelledError {}
                try await LoopTask.yield()
                return "went on"
            }
            try await LoopTask.yield()
            try failing.setError(Boom())
            task.cancel()
            #expect(try await task.value == "went on")
            _ = try failing.error()
        }
    }

    @Test func entry36_twoRequestsBeforeTheDeliveryAreOneCancellation() async throws {
        try await withLoop {
            func eater(_ wait: @escaping @Sendable () async throws -> Void) -> LoopTask<[String]> {
                LoopTask {
                    var seen: [String] = []
                    do { try await wait() } catch let error as CancelledError { seen.append(error.message ?? "") }
                    do { try await LoopTask.yield() } catch let error as CancelledError { seen.append(error.message ?? "") }
                    return seen
                }
            }
            let future = try Future<Void>()
            for task in [eater { try await hour() }, eater { try await future.value }] {
                try await LoopTask.yield()
                #expect(task.cancel(message: "first"))
                #expect(task.cancel(message: "second"))
                #expect(task.cancelling() == 2)
                #expect(try await task.value == ["first"])
                #expect(task.cancelRequests.map(\.message) == ["first", "second"])
            }
        }
    }

    @Test func entry37_afterTheDeliveryTheTaskMayAwaitFreely() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let lines = Log()
            let task = LoopTask {
                do {
                    try await hour()
                } catch {
                    let began = loop.now
                    for _ in 0..<3 { try await LoopTask.sleep(for: .seconds(1)) }
                    _ = try await LoopTask { try await LoopTask.sleep(for: .seconds(1)) }.value
                    lines("cleaned up for \(began.duration(to: loop.now))")
                    throw error
                }
            }
            try await LoopTask.yield()
            task.cancel()
            await #expect(throws: CancelledError.self) { try await task.value }
            #expect(lines.entries == ["cleaned up for 4.0 seconds"])
        }
    }

    @Test func entry38_aSecondCancelInterruptsTheCleanup() async throws {
        try await withLoop {
            let log = Log()
            let task = LoopTask {
                do {
                    try await hour()
                } catch {
                    do { try await hour() } catch let error as CancelledError { log(error.message ?? "") }
                    throw error
                }
            }
            try await LoopTask.yield()
            task.cancel(message: "one")
            try await LoopTask.sleep(for: .seconds(1))
            task.cancel(message: "two")
            let error = await #expect(throws: CancelledError.self) { try await task.value }
            #expect(error?.message == "one")
            #expect(log.entries == ["two"])
            #expect(task.cancelling() == 2)
        }
    }

    @Test func entry39_aTaskMayRefuse() async throws {
        try await withLoop {
            let returning = LoopTask {
                do { try await hour() } catch is CancelledError { return 1 }
                return 0
            }
            let goingOn = LoopTask {
                do { try await hour() } catch is CancelledError {}
                try await LoopTask.sleep(for: .seconds(1))
                return 2
            }
            try await LoopTask.yield()
            returning.cancel()
            goingOn.cancel()
            #expect(try await returning.value == 1)
            #expect(try await goingOn.value == 2)
            #expect(!returning.isCancelled && !goingOn.isCancelled)
        }
    }

    @Test func entry40_cancellingOneselfIsDeliveredAtTheNextWaitThatSuspends() async throws {
        try await withLoop {
            let mark = try Mark()
            let done = try Future<Int>()
            try done.setResult(1)
            func selfish(_ name: String, _ wait: @escaping @Sendable () async throws -> Void) async throws {
                try await LoopTask {
                    LoopTask.current?.cancel()
                    _ = try await done.value
                    mark.set()
                    do { try await wait() } catch is CancelledError { mark(name) }
                    try await LoopTask.yield()
                }.value
            }
            try await selfish("sleep") { try await hour() }
            try await selfish("yield") { try await LoopTask.yield() }
            let future = try Future<Void>()
            try await selfish("future") { try await future.value }
            #expect(future.isCancelled)
            let task = LoopTask { try await hour() }
            try await selfish("task") { try await task.value }
            #expect(task.isCancelled)
            #expect(mark.entries == ["sleep +1", "yield +1", "future +1", "task +2"])
        }
    }

    @Test func entry41_cancellingOneselfAndReturningEndsCancelled() async throws {
        try await withLoop {
            let returning = LoopTask { () async throws -> Int in
                LoopTask.current?.cancel(message: "me")
                return 7
            }
            let error = await #expect(throws: CancelledError.self) { try await returning.value }
            #expect(error?.message == "me")
            #expect(returning.isCancelled)
            let throwing = LoopTask { () async throws -> Int in
                LoopTask.current?.cancel()
                throw Boom()
            }
            await #expect(throws: Boom()) { try await throwing.value }
            #expect(!throwing.isCancelled && throwing.cancelling() == 1)
        }
    }

    @Test func entry42_aCallbackThatCancelsWinsIfItWasThereFirst() async throws {
        try await withLoop {
            let log = Log()
            for callbackFirst in [true, false] {
                let future = try Future<Int>()
                let task = LoopTask { try await future.value }
                let register = { _ = future.addDoneCallback { _ in log("callback first: \(callbackFirst), cancel: \(task.cancel())") } }
                if callbackFirst { register() }
                try await LoopTask.yield()
                if !callbackFirst { register() }
                try future.setResult(7)
                if callbackFirst {
                    await #expect(throws: CancelledError.self) { try await task.value }
                } else {
                    #expect(try await task.value == 7)
                }
            }
            #expect(log.entries == ["callback first: true, cancel: true", "callback first: false, cancel: false"])
        }
    }

    @Test func entry43_theMessageArrivesAtEveryAwaiter() async throws {
        try await withLoop { () async throws in
            func messages(_ await: @escaping @Sendable (LoopTask<Void>) async throws -> Void) async throws -> String? {
                let leaf = LoopTask { try await hour() }
                let middle = LoopTask { try await `await`(leaf) }
                let outer = LoopTask { try await middle.value }
                try await LoopTask.yield()
                outer.cancel(message: "why")
                defer { leaf.cancel() }
                do { try await outer.value } catch let error as CancelledError { return error.message }
                return "not cancelled"
            }
            #expect(try await messages { try await $0.value } == "why")
            #expect(try await messages { _ = try await LoopTask.gather([$0]) } == "why")
            #expect(try await messages { _ = try await LoopTask.wait(for: [$0]) } == "why")
            #expect(try await messages { try await LoopTask.shield($0) } == "why")
            let silent = LoopTask { try await hour() }
            silent.cancel()
            let error = await #expect(throws: CancelledError.self) { try await silent.value }
            #expect(error?.message == nil)
        }
    }

    @Test func entry44_theResultOfACancelledTaskIsItsOwnCancellation() async throws {
        try await withLoop {
            let task = LoopTask { try await hour() }
            try await LoopTask.yield()
            task.cancel(message: "origin")
            await #expect(throws: CancelledError.self) { try await task.value }
            let request = try #require(task.cancelRequests.first)
            for _ in 0..<2 {
                let thrown = #expect(throws: CancelledError.self) { try task.result() }
                #expect(thrown?.origin === request)
                #expect((try task.error() as? CancelledError)?.origin === request)
            }
        }
    }

    @Test func entry45_uncancelTakesBackWhatWasNotDelivered() async throws {
        try await withLoop {
            let future = try Future<Int>()
            let woken = LoopTask { try await future.value }
            let fresh = LoopTask { 8 }
            let interrupted = LoopTask { try await hour() }
            fresh.cancel()
            #expect(fresh.uncancel() == 0)
            #expect(try await fresh.value == 8)
            try future.setResult(7)
            woken.cancel()
            woken.cancel()
            #expect(woken.uncancel() == 1)
            #expect(woken.uncancel() == 0)
            #expect(woken.uncancel() == 0)
            #expect(try await woken.value == 7)
            // The wait is over already: this one is still thrown.
            interrupted.cancel()
            #expect(interrupted.uncancel() == 0)
            await #expect(throws: CancelledError.self) { try await interrupted.value }
            #expect(interrupted.cancelling() == 0)
        }
    }

    /// A scope that cancels its own task, written as entry 46 says: it takes its request back in any case, and turns the error only if nobody else asked.
    private static func limited(_ turns: Int, _ body: () async throws -> Void) async throws -> Bool {
        let task = try #require(LoopTask.current)
        let baseline = task.cancelling()
        final class Fired: @unchecked Sendable { var value = false }
        let fired = Fired()
        let timer = try task.loop.callLater(.seconds(turns)) {
            fired.value = true
            task.cancel()
        }
        defer { timer.cancel() }
        do {
            try await body()
            if fired.value { task.uncancel() }
            return false
        } catch is CancelledError where fired.value {
            if task.uncancel() <= baseline { return true }
            throw CancelledError(message: "somebody else's")
        }
    }

    @Test func entry46_aScopeConvertsOnlyItsOwnCancellation() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            #expect(try await Self.limited(1) { try await hour() })
            #expect(try await !Self.limited(10) { try await LoopTask.sleep(for: .seconds(1)) })
            #expect(LoopTask.current?.cancelling() == 0)
            let both = LoopTask { try await Self.limited(1) { try await hour() } }
            try await LoopTask.yield()
            try loop.callLater(.seconds(1)) { both.cancel() }
            let error = await #expect(throws: CancelledError.self) { try await both.value }
            #expect(error?.message == "somebody else's")
            #expect(both.cancelling() == 1)
            let nested = LoopTask {
                let inner = try await Self.limited(2) {
                    let innermost = try await Self.limited(1) { try await hour() }
                    #expect(innermost)
                }
                return (inner, LoopTask.current?.cancelling())
            }
            let (inner, count) = try await nested.value
            #expect(!inner && count == 0)
        }
    }

    @Test func entry47_refusingWithoutUncancelHasItsPriceInAGroup() async throws {
        try await withLoop {
            let task = LoopTask {
                do { try await hour() } catch is CancelledError {}
                // A timeout compares with what was there when it began.
                do {
                    try await withTimeout(.seconds(1)) { try await hour() }
                } catch is TimeoutError {}
                do {
                    try await withLoopTaskGroup { group in
                        _ = try group.addTask { throw Boom() }
                    }
                } catch is TaskGroupError {}
                do { try await LoopTask.yield() } catch is CancelledError { return "cancelled again after the group" }
                return "went on"
            }
            try await LoopTask.yield()
            task.cancel()
            #expect(try await task.value == "cancelled again after the group")
            #expect(task.cancelling() == 1)
        }
    }

    @Test func entry49_cancellingASleepStopsItsTimerAtOnce() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let mark = try Mark()
            let sleeper = LoopTask { try await watched("sleeper", mark) { try await hour() } }
            try await LoopTask.yield()
            #expect(loop.statistics.armedTimers == 1)
            mark.set()
            sleeper.cancel()
            #expect(loop.statistics.armedTimers == 0)
            await #expect(throws: CancelledError.self) { try await sleeper.value }
            #expect(mark.entries == ["sleeper +1"])
        }
    }

    @Test func entry49_aSleepOfZeroOrLessIsOneTurnWithoutATimer() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            for duration in [Duration.zero, .seconds(-1), .seconds(Int64.min), .nanoseconds(-1)] {
                let turn = loop.turn
                let armed = LoopTask { loop.statistics.armedTimers }
                try await LoopTask.sleep(for: duration)
                #expect(loop.turn == turn + 1)
                #expect(try await armed.value == 0)
            }
            let turn = loop.turn
            try await LoopTask.sleep(until: loop.now)
            try await LoopTask.sleep(until: LoopInstant(nanoseconds: .min))
            #expect(loop.turn == turn + 2)
            #expect(loop.now.nanoseconds == 0)
        }
    }

    @Test(arguments: [EventLoop.Clock.virtual, .system])
    func entry49_aSleepOfAnyLengthCanBeCancelled(clock: EventLoop.Clock) async throws {
        try await withLoop(clock: clock) {
            let loop = try #require(EventLoop.current)
            let sleeper = LoopTask { try await LoopTask.sleep(for: .seconds(Int64.max)) }
            let other = LoopTask { try await LoopTask.sleep(until: .distantFuture) }
            try await LoopTask.sleep(for: .milliseconds(2))
            #expect(loop.statistics.armedTimers == 2)
            sleeper.cancel()
            other.cancel()
            #expect(loop.statistics.armedTimers == 0)
            await #expect(throws: CancelledError.self) { try await sleeper.value }
            await #expect(throws: CancelledError.self) { try await other.value }
        }
    }

    @Test func entry49_aTimerThatWasDueInTheTurnOfTheCancelWakesNobody() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let sleeper = LoopTask {
                do { try await LoopTask.sleep(for: .seconds(1)) } catch is CancelledError {}
                try await LoopTask.sleep(for: .seconds(1))
                return loop.now
            }
            // Due in the same turn, and before the sleeper's.
            try loop.callLater(.seconds(1)) { #expect(sleeper.cancel()) }
            #expect(try await sleeper.value == LoopInstant(nanoseconds: 2_000_000_000))
        }
    }

    // MARK: threads and loops

    @Test func cancelFromAnotherThreadActsInTheNextTurn() async throws {
        try await withLoop {
            let mark = try Mark()
            let future = try Future<Void>()
            let task = LoopTask { try await watched("task", mark) { try await future.value } }
            try await LoopTask.yield()
            mark.set()
            #expect(try onOtherThread { task.cancel(message: "from afar") })
            // Nothing has happened on this thread yet.
            #expect(!future.isDone && task.cancelling() == 0)
            let error = await #expect(throws: CancelledError.self) { try await task.value }
            #expect(error?.message == "from afar")
            #expect(error?.origin.requester == nil)
            // One turn for the request, as an entry, and the next for the task.
            #expect(mark.entries == ["task +2"])
            #expect(try onOtherThread { !task.cancel() })
        }
    }

    @Test(arguments: 0..<20) func cancelsThatRaceFromTwoThreadsAreDeliveredOnceEach(round: Int) async throws {
        try await withRunningLoop(clock: .system) { loop in
            let task = LoopTask(on: loop) {
                var deliveries = 0
                while LoopTask.current?.cancelling() ?? 2 < 2 {
                    do { try await hour() } catch is CancelledError { deliveries += 1 }
                }
                return deliveries
            }
            async let one = onOwnThread { task.cancel() }
            async let two = onOwnThread { task.cancel() }
            let accepted = try await [one, two]
            #expect(accepted == [true, true])
            do {
                let deliveries = try await task.value
                #expect((1...2).contains(deliveries))
            } catch is CancelledError {
                // Both came before its first step.
            }
        }
    }

    @Test func cancelOfAnAwaiterReachesATaskOfAnotherLoop() async throws {
        try await withRunningLoop { other in
            try await withLoop {
                let log = Log()
                let future = try Future<Void>(on: other)
                let inner = LoopTask(on: other) {
                    do {
                        try await future.value
                    } catch let error as CancelledError {
                        log("inner: \(error.message ?? "") on \(EventLoop.current === other)")
                        try await LoopTask.sleep(for: .seconds(1))
                        throw error
                    }
                }
                let outer = LoopTask { try await inner.value }
                try await LoopTask.sleep(for: .zero)
                outer.cancel(message: "across")
                let error = await #expect(throws: CancelledError.self) { try await outer.value }
                #expect(error?.message == "across")
                #expect(inner.isCancelled && outer.isCancelled)
                #expect(log.entries == ["inner: across on true"])
            }
        }
    }

    @Test func cancelOfAnAwaiterOfAnotherLoopsTaskThatRefusesGetsItsValue() async throws {
        try await withRunningLoop { other in
            try await withLoop {
                let future = try Future<Void>(on: other)
                let inner = LoopTask(on: other) {
                    do { try await future.value } catch {}
                    return 7
                }
                let outer = LoopTask { try await inner.value }
                try await LoopTask.yield()
                outer.cancel()
                #expect(try await outer.value == 7)
                #expect(outer.cancelling() == 1)
            }
        }
    }

    @Test func awaitingAFutureOfALoopThatWasClosedCanBeCancelled() async throws {
        try await withLoop {
            let (future, register): (Future<Int>, EventLoop) = try onOtherThread {
                let loop = try EventLoop(clock: .virtual)
                return (try Future<Int>(on: loop), loop)
            }
            let outer = LoopTask { try await future.value }
            try await LoopTask.yield()
            try onOtherThread {
                register.stop()
                try register.runForever()
                _ = try register.close()
            }
            outer.cancel(message: "enough")
            let error = await #expect(throws: CancelledError.self) { try await outer.value }
            #expect(error?.message == "enough")
            let late = await #expect(throws: LoopError.self) { try await future.value }
            #expect(late?.code == .closed)
        }
    }
}
