internal import UVCore

extension EventLoop {
    /// Threads that ``LoopTask/runBlocking(_:)`` uses at most, in the whole process. More calls wait for their turn.
    public static let blockingThreadLimit = 32

    fileprivate static let blockingThreads = WorkQueue(limit: blockingThreadLimit)
}

extension LoopTask where Success == Never {
    /// Runs code that blocks (a synchronous library, a long computation) on a thread of its own pool, and waits for what it returns. The loop goes on meanwhile.
    ///
    /// The pool is neither libuv's nor Swift's: files, look-ups and other Swift code do not wait for these calls. Task-locals are not seen there.
    ///
    /// - Cancellation: throws in the next turn. A call that has not begun never begins; one that runs **goes on**, and what it returns is thrown away.
    /// - Throws: what `body` throws; ``CancelledError``; `LoopError` `.system` if no thread can be started.
    public static func runBlocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        guard let task = EventLoop.callingTask else {
            return try await bridged("LoopTask.runBlocking") { try await runBlocking(body) }
        }
        let call = WorkCall<Value>(loop: task.loop)
        do {
            try call.start(body, on: EventLoop.blockingThreads)
        } catch {
            throw LoopError(error, "LoopTask.runBlocking", advice: "the limit of threads (ulimit -u) or memory is reached")
        }
        return try await call.value(for: task)
    }
}
