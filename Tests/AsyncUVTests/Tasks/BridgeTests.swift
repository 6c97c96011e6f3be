import Dispatch
import Testing
@testable import AsyncUV

@Suite struct BridgeTests {
    @Test func aForeignCallIsCancelledExactlyOnce() async throws {
        try await withLoop {
            let task = LoopTask {
                do {
                    try await LoopTask.foreign { try await Task.sleep(for: .seconds(3600)) }
                } catch is CancelledError {
                    try await LoopTask.sleep(for: .seconds(1))
                    return try await LoopTask.foreign { "still able to call: \(Task.isCancelled)" }
                }
                return "not cancelled"
            }
            try await LoopTask.yield()
            task.cancel()
            #expect(try await task.value == "still able to call: false")
        }
    }

    @Test func aPlainTaskCanSleepOnTheLoopAndAwaitItsTasks() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            async let child: Void = LoopTask.sleep(for: .seconds(5))
            try await child
            let task = LoopTask {
                try await LoopTask.sleep(for: .seconds(5)); return 3
            }
            let value = try await LoopTask.foreign { try await task.value }
            #expect(value == 3)
            #expect(loop.now.nanoseconds == 10_000_000_000)
        }
    }

    // MARK: plain tasks on our waits

    @Test func aPlainTaskThatIsCancelledGetsSwiftsOwnError() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let plain = Task { () async throws -> String in
                do {
                    try await LoopTask(on: loop) { try await LoopTask.sleep(for: .seconds(3600)) }.value
                    return "not cancelled"
                } catch is CancellationError {
                    return "CancellationError"
                }
            }
            plain.cancel()
            let outcome = try await LoopTask.foreign { try await plain.value }
            #expect(outcome == "CancellationError")
        }
    }

    @Test func aPlainTaskWithoutALoopGetsMisuseAndNotAHang() async throws {
        let error = await #expect(throws: LoopError.self) { try await LoopTask.sleep(for: .seconds(1)) }
        #expect(error?.code == .misuse && error?.description.contains("no event loop") == true)
        let task = LoopTask { 7 }
        let born = await #expect(throws: LoopError.self) { try await task.value }
        #expect(born?.code == .misuse && task.isDone)
    }

    @Test func childrenOfAStructuredGroupSleepOnTheLoop() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let sum = try await withThrowingTaskGroup(of: Int.self) { group in
                for seconds in 1...5 {
                    group.addTask {
                        try await LoopTask.sleep(for: .seconds(seconds))
                        return seconds
                    }
                }
                return try await group.reduce(0, +)
            }
            #expect(sum == 15 && loop.now.nanoseconds == 5_000_000_000)
        }
    }

    @Test func cancellingALoopTaskReachesItsStructuredChildren() async throws {
        try await withLoop {
            let log = Log()
            let parent = LoopTask {
                async let child: Void = {
                    do {
                        try await LoopTask.sleep(for: .seconds(3600))
                    } catch {
                        log("child: \(type(of: error))")
                        throw error
                    }
                }()
                try await child
            }
            try await LoopTask.sleep(for: .seconds(1))
            #expect(parent.cancel(message: "enough"))
            let error = await #expect(throws: CancelledError.self) { try await parent.value }
            #expect(error?.message == "enough")
            #expect(log.entries == ["child: CancellationError"])
            #expect(parent.isCancelled)
        }
    }

    @Test func aChildTaskIsNotTheLoopTaskAroundIt() async throws {
        try await withLoop {
            let outer = LoopTask.current
            #expect(outer != nil)
            async let inner = LoopTask.current?.name
            #expect(await inner == nil)
            #expect(LoopTask.current === outer)
            let misused = await withTaskGroup(of: Bool.self) { group in
                group.addTask {
                    do {
                        try await withTimeout(.seconds(1)) {}
                        return false
                    } catch let error as LoopError {
                        return error.code == .misuse
                    } catch {
                        return false
                    }
                }
                return await group.next() ?? false
            }
            #expect(misused)
        }
    }

    // MARK: foreign awaits of a LoopTask

    @Test func aForeignAwaitThatObeysEndsTheTaskAsCancelled() async throws {
        try await withLoop {
            let task = LoopTask { try await Task.sleep(for: .seconds(3600)) }
            try await LoopTask.yield()
            #expect(task.cancel(message: "enough"))
            let error = await #expect(throws: CancelledError.self) { try await task.value }
            #expect(error?.message == "enough" && task.isCancelled)
        }
    }

    @Test func aForeignAwaitThatIgnoresTheCancellationLeavesItToTheNextWait() async throws {
        try await withLoop {
            let log = Log()
            let gate = Gate()
            let task = LoopTask {
                await gate.wait()
                log("foreign code went on")
                try await LoopTask.sleep(for: .seconds(1))
                log("never")
            }
            try await LoopTask.yield()
            task.cancel(message: "enough")
            gate.open()
            let error = await #expect(throws: CancelledError.self) { try await task.value }
            #expect(error?.message == "enough")
            #expect(log.entries == ["foreign code went on"])
        }
    }

    @Test func aWrappedCallThatIgnoresTheCancellationGivesItsValueAndTheNextWaitThrows() async throws {
        try await withLoop {
            let log = Log()
            let gate = Gate()
            let task = LoopTask {
                let value = try await LoopTask.foreign { () async -> Int in
                    await gate.wait()
                    return 7
                }
                log("value \(value)")
                try await LoopTask.sleep(for: .seconds(1))
            }
            try await LoopTask.yield()
            task.cancel()
            gate.open()
            await #expect(throws: CancelledError.self) { try await task.value }
            #expect(log.entries == ["value 7"])
        }
    }

    @Test func aCancellationThatRacesWithTheEndOfAForeignCallIsDeliveredOnceOrNotAtAll() async throws {
        for _ in 0..<200 {
            try await withLoop {
                let task = LoopTask { () async throws -> Int in
                    var delivered = 0
                    do { try await LoopTask.foreign { await Task.yield() } } catch is CancelledError { delivered += 1 }
                    do { try await LoopTask.yield() } catch is CancelledError { delivered += 1 }
                    return delivered
                }
                try await LoopTask.yield()
                let accepted = task.cancel()
                let delivered = try await task.value
                #expect(delivered == (accepted ? 1 : 0))
            }
        }
    }

    @Test func aLoopTaskInAnActorOfItsOwnStillSleepsExactly() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let actor = Sleeper()
            let task = LoopTask { try await actor.sleep(for: .seconds(3600)) }
            try await LoopTask.sleep(for: .seconds(1))
            #expect(loop.statistics.armedTimers == 1)
            task.cancel(message: "enough")
            #expect(loop.statistics.armedTimers == 0)
            let error = await #expect(throws: CancelledError.self) { try await task.value }
            #expect(error?.message == "enough")
        }
    }

    @Test func aLoopTaskOnTheMainActorComesHomeToSleep() async throws {
        try await withLoop {
            let task = LoopTask { @MainActor () async throws -> String? in
                try await LoopTask.sleep(for: .seconds(5))
                return LoopTask.current?.name ?? "away from its loop"
            }
            let name = try await task.value
            #expect(name == "away from its loop")
            #expect(EventLoop.current?.now.nanoseconds == 5_000_000_000)
        }
    }

    // MARK: other threads and loops

    @Test func entry108_anyThreadCanStartATaskAndAwaitIt() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let value = try await LoopTask.foreign { () async throws -> Int in
                let task = LoopTask(on: loop) { () async throws -> Int in
                    try await LoopTask.sleep(for: .seconds(5))
                    return 7
                }
                return try await task.value
            }
            #expect(value == 7)
        }
    }

    @Test func anItemThatAnotherLoopHandedOverIsNotLostToACancelThatComesWithIt() async throws {
        let other = try await LoopThread()
        let queue = try await other.call { loop in try Queue<Int>(on: loop) }
        try await withLoop(clock: .system) {
            let reader = LoopTask { () async throws -> (Int, String) in
                let item = try await queue.get()
                do { try await LoopTask.yield() } catch is CancelledError { return (item, "cancelled at the next wait") }
                return (item, "not cancelled")
            }
            // The helper waits on the other loop when that has handled what came before.
            try await LoopTask.yield()
            try await LoopTask.yield()
            other.settle()
            try other.loop.callSoonThreadsafe { try queue.putNow(7) }
            // Here, in one turn of this loop, the other one takes the item and posts the news, and the reader is cancelled.
            other.settle()
            #expect(reader.cancel())
            let (item, end) = try await reader.value
            #expect(item == 7 && end == "cancelled at the next wait")
        }
        try await other.end()
    }

    @Test func aCancelThatReachesTheOtherLoopTooLateIsNotLost() async throws {
        try await withRunningLoop(clock: .system) { other in
            try await withLoop {
                let future = try Future<Int>(on: other)
                let waiter = LoopTask { try await future.value }
                try await LoopTask.yield()
                let ready = DispatchSemaphore(value: 0)
                let asked = DispatchSemaphore(value: 0)
                try other.callSoonThreadsafe {
                    ready.signal()
                    asked.wait()
                    try future.setResult(1)
                }
                ready.wait()
                waiter.cancel()
                asked.signal()
                await #expect(throws: CancelledError.self) { try await waiter.value }
            }
        }
    }

    @Test func entry108_cancellingTheWaiterCancelsTheTask() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let task = LoopTask(on: loop) { try await LoopTask.sleep(for: .seconds(3600)) }
            let waiter = Task { try await task.value }
            waiter.cancel()
            await #expect(throws: CancellationError.self) { try await LoopTask.foreign { try await waiter.value } }
            #expect(task.isCancelled)
        }
    }
}

/// Suspends who waits until somebody opens it, whatever is cancelled meanwhile.
final class Gate: @unchecked Sendable {
    private let (stream, continuation) = AsyncStream<Void>.makeStream()

    func open() { continuation.finish() }

    func wait() async {
        let stream = stream
        await Task.detached { for await _ in stream {} }.value
    }
}

/// A second loop, on a thread of its own.
final class LoopThread: @unchecked Sendable {
    // Sendable: the loop is called from here only in ways that any thread may.
    let loop: EventLoop
    private let ended: Task<Void, any Error>

    init() async throws {
        let (stream, continuation) = AsyncStream<EventLoop>.makeStream()
        ended = Task {
            try await onOwnThread {
                let loop = try EventLoop()
                continuation.yield(loop)
                try loop.runForever()
                try loop.close()
            }
        }
        var iterator = stream.makeAsyncIterator()
        loop = try #require(await iterator.next())
    }

    /// Runs `body` on the loop's thread, and waits for what it returns.
    func call<Value: Sendable>(_ body: @escaping @Sendable (EventLoop) throws -> Value) async throws -> Value {
        let loop = loop
        return try await LoopTask(on: loop) { try body(loop) }.value
    }

    /// Blocks the calling thread until the loop has run some turns: whatever was on its way there has happened.
    func settle() {
        for _ in 0..<8 {
            let turn = DispatchSemaphore(value: 0)
            do {
                try loop.callSoonThreadsafe { turn.signal() }
                turn.wait()
            } catch {
                Issue.record(error)
            }
        }
    }

    func end() async throws {
        loop.stop()
        try await ended.value
    }
}

private actor Sleeper {
    func sleep(for duration: Duration) async throws { try await LoopTask.sleep(for: duration) }
}
