/// A value that somebody will set. Pending, then done once: with a value, an error, or cancelled.
///
/// Awaiting a future that is done does not suspend. An error that nobody fetched is reported when the future goes.
public final class Future<Value: Sendable>: AnyFuture, Awaitable, @unchecked Sendable {
    @usableFromInline var storedValue: Value?

    /// - Parameter loop: the loop it is bound to; by default the one that the caller runs on.
    /// - Throws: `LoopError` `.misuse` without a loop.
    public init(on loop: EventLoop? = nil) throws {
        super.init(loop: try loop ?? EventLoop.requireCurrent("Future"))
    }

    override init(loop: EventLoop) { super.init(loop: loop) }

    /// Suspends until the future is done.
    ///
    /// - Cancellation: cancels the future itself, and with it everyone who waits for it.
    /// - Throws: the future's error; ``CancelledError``; `LoopError` `.closed` outside its loop, if the loop closes first.
    @inlinable
    public var value: Value {
        get async throws {
            if !isDone { try await waitUntilDone() }
            return try result()
        }
    }

    /// The value of a future that is done. Counts as fetching its error.
    /// - Throws: the future's error; `LoopError` `.invalidState` if it is not done.
    @inlinable
    public func result() throws -> Value {
        try requireDone("result()")
        try throwStoredError()
        // Done without an error: the value was stored before the status.
        return storedValue.stored
    }

    /// Ends it with a value; who waits for it is resumed in the next turn.
    /// - Throws: `LoopError` `.invalidState` if it is done already (cancelled by a waiter, for one), `.misuse` on another thread than its loop's.
    public func setResult(_ value: Value) throws {
        try requirePending("setResult")
        storedValue = value
        completeWithValue()
    }

    /// Ends it with an error; a ``CancelledError`` cancels it.
    /// - Throws: as ``setResult(_:)``.
    public func setError(_ error: any Error) throws {
        try requirePending("setError")
        if let cancelled = error as? CancelledError {
            complete(cancelled: cancelled)
        } else {
            complete(failure: error)
        }
    }

    /// Sets the value unless it is done (because a waiter was cancelled, for one). Returns whether it did. On the loop's thread.
    @discardableResult
    func setResultUnlessDone(_ value: Value) -> Bool {
        if isDone { return false }
        storedValue = value
        completeWithValue()
        return true
    }

    private func requirePending(_ operation: String) throws {
        guard loop.isOwner else {
            throw LoopError.misuse(operation, on: "future", "called on another thread; use loop.callSoonThreadsafe { … }")
        }
        if isDone { throw LoopError(.invalidState, operation, on: "future", "it is done already\(isCancelled ? " (cancelled)" : "")") }
    }
}

extension Optional {
    /// The value of an optional that holds one by the logic of the caller.
    @usableFromInline
    var stored: Wrapped {
        guard let self else { preconditionFailure("AsyncUV: a future was marked done before its value was stored") }
        return self
    }
}
