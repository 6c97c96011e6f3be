internal import UVCore

/// A call on a thread of a work queue, as a future of the loop that waits for it.
final class WorkCall<Value: Sendable>: AnyFuture, @unchecked Sendable {
    // Sendable as AnyFuture: touched on its loop's thread; the worker posts its outcome.
    private var job: WorkQueue.Job?
    private var queue: WorkQueue?
    private var outcome: Value?

    func start(_ body: @escaping @Sendable () throws -> Value, on queue: WorkQueue) throws(UVError) {
        self.queue = queue
        job = try queue.submit { [self] in
            let outcome = Result { try body() }
            // Refused by a loop that was closed: then nobody waits any more.
            _ = loop.inbox.post(.call { [self] in end(outcome) })
        }
    }

    /// Waits for it. A cancellation takes it back, or abandons it where it runs: it **goes on**, and what it returns is thrown away.
    func value(for task: AnyLoopTask) async throws -> Value {
        loop.outstanding += 1
        defer { loop.outstanding -= 1 }
        try await task.wait(for: self)
        try throwStoredError()
        return outcome.stored
    }

    override func cancelHere(_ origin: CancelOrigin) -> Bool {
        if let job { _ = queue?.withdraw(job) }
        return super.cancelHere(origin)
    }

    private func end(_ outcome: Result<Value, any Error>) {
        job = nil
        if isDone { return }
        switch outcome {
        case .success(let value):
            self.outcome = value
            completeWithValue()
        case .failure(let error): complete(failure: error)
        }
    }
}
