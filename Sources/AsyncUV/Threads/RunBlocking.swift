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
        guard let task = EventLoop.current?.callingTask else {
            return try await bridged("LoopTask.runBlocking") { try await runBlocking(body) }
        }
        let call = BlockingCall<Value>(loop: task.loop)
        try call.start(body)
        task.loop.outstanding += 1
        defer { task.loop.outstanding -= 1 }
        try await task.wait(for: call)
        return try call.result()
    }
}

/// A call on another thread, as a future of the loop that waits for it.
private final class BlockingCall<Value: Sendable>: AnyFuture, @unchecked Sendable {
    // Sendable as AnyFuture: touched on its loop's thread; the worker posts its outcome.
    private var job: WorkQueue.Job?
    private var value: Value?

    func start(_ body: @escaping @Sendable () throws -> Value) throws {
        do {
            job = try EventLoop.blockingThreads.submit { [self] in
                let outcome = Result { try body() }
                // Refused by a loop that was closed: then nobody waits any more.
                _ = loop.inbox.post(.call { [self] in end(outcome) })
            }
        } catch {
            throw LoopError(error, "LoopTask.runBlocking", advice: "the limit of threads (ulimit -u) or memory is reached")
        }
    }

    func result() throws -> Value {
        try throwStoredError()
        return value.stored
    }

    override func cancelHere(_ origin: CancelOrigin) -> Bool {
        if let job { _ = EventLoop.blockingThreads.withdraw(job) }
        return super.cancelHere(origin)
    }

    private func end(_ outcome: Result<Value, any Error>) {
        job = nil
        if isDone { return }
        switch outcome {
        case .success(let value):
            self.value = value
            completeWithValue()
        case .failure(let error): complete(failure: error)
        }
    }
}
