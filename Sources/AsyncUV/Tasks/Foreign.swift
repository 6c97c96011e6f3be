extension LoopTask where Success == Never {
    /// Awaits foreign async code (anything that does not wait by AsyncUV's own means) with exact cancellation.
    ///
    /// The code runs in a fresh native task, off the loop unless its closure is isolated to an actor of the loop. Without this wrapper a cancellation that reaches a
    /// LoopTask in foreign code sets the native flag of the LoopTask itself, where nothing can take it back, and later foreign awaits of the same task fail at once.
    ///
    /// - Cancellation: cancels the fresh task and waits for its end. Its `CancellationError` comes out as ``CancelledError``, once. If it returns a value all the same, that value
    ///   comes back, and the request, which must not be lost, is thrown at the caller's next wait.
    /// - Throws: what `operation` throws.
    public static func foreign<Value: Sendable>(
        @_inheritActorContext _ operation: sending @escaping @isolated(any) () async throws -> Value
    ) async throws -> Value {
        guard let task = EventLoop.callingTask else { return try await operation() }
        let call = ForeignCall<Value>(loop: task.loop)
        call.start(operation)
        task.loop.foreignCalls += 1
        defer { task.loop.foreignCalls -= 1 }
        try await task.wait(for: call)
        if let request = call.request, !call.isCancelled { task.cancellation.remember(request) }
        return try call.result()
    }
}

/// A native task, as a future of the loop that waits for it.
private final class ForeignCall<Value: Sendable>: AnyFuture, @unchecked Sendable {
    // Sendable as AnyFuture: touched on its loop's thread; the native task posts its outcome.
    private(set) var request: CancelOrigin?
    private var native: Task<Void, Never>?
    private var value: Value?

    func start(_ operation: sending @escaping @isolated(any) () async throws -> Value) {
        native = Task { [self] in
            let outcome: Result<Value, any Error>
            do {
                outcome = .success(try await operation())
            } catch {
                outcome = .failure(error)
            }
            // A loop that is closed has told its waiters already.
            _ = loop.inbox.post(.call { [self] in end(outcome) })
        }
    }

    func result() throws -> Value {
        try throwStoredError()
        return value.stored
    }

    override func cancelHere(_ origin: CancelOrigin) -> Bool {
        if isDone { return false }
        request = request ?? origin
        native?.cancel()
        return true
    }

    private func end(_ outcome: Result<Value, any Error>) {
        native = nil
        switch outcome {
        case .success(let value):
            self.value = value
            if !isDone { completeWithValue() }
        case .failure(let error):
            if let request, error is CancellationError {
                complete(cancelled: CancelledError(request))
            } else {
                complete(failure: error)
            }
        }
    }
}
