/// A task on an event loop, with asyncio's life: it starts in the loop's next turn, can be cancelled by anyone who holds it, may clean up when it
/// is, and may refuse. The loop holds it until it is done, whether anybody else does or not.
///
/// **Cancelling.** `cancel()` is a request. A task that waits has its wait undone at once, and ``CancelledError`` is thrown there in the next turn; one that runs gets it
/// at its next wait that suspends; one that has not begun never begins. It is thrown once: afterwards the task may await freely, to clean up or to
/// go on. Awaiting something that is done does not suspend, and so does not throw.
///
/// **Foreign code.** A task that is cancelled while it awaits code which does not wait by AsyncUV's means has its native task cancelled, and Swift keeps that flag set: later foreign
/// awaits of the same task end at once, and the request, which must not be lost, is thrown at the next wait of AsyncUV's own even if the foreign code obeyed and its error was
/// caught. ``LoopTask/foreign(_:)`` is exact.
///
/// **Sharing.** The closure inherits the isolation and the task-locals of the place where the task is created, as `Task {}` does.
public final class LoopTask<Success: Sendable>: AnyLoopTask, Awaitable, @unchecked Sendable {
    /// The body, until it begins. Here and not in the closure of the native task: one that holds this task and nothing else needs no memory of its own.
    @safe @exclusivity(unchecked)
    @usableFromInline var operation: (() async throws -> Success)?
    @safe @exclusivity(unchecked)
    @usableFromInline var storedValue: Success?

    /// Starts `operation` in the next turn of the loop.
    ///
    /// - Parameters:
    ///   - name: for reports and errors; by default `Task-N`.
    ///   - loop: by default the loop that the caller runs on. Without one, or on a closed one, the task is born failed with `misuse`.
    ///   - eager: runs the first step, up to the first suspension, inside this initialiser; only on a running loop's own thread, and at most
    ///     ``EventLoop/maximumEagerDepth`` in one another; otherwise it starts as usual.
    @inlinable
    @discardableResult
    public init(
        name: String? = nil,
        on loop: EventLoop? = nil,
        eager: Bool = false,
        file: String = #fileID,
        line: Int = #line,
        @_inheritActorContext operation: sending @escaping () async throws -> Success
    ) {
        self.operation = operation
        super.init(on: loop, name: name, file: file, line: line)
        guard let start = announce(eager: eager) else { return }
        // Task.init and never detached: task-locals carry the context of logs, metrics and traces.
        // With an error that it never throws: what the runtime runs may throw, and a closure that may not would be wrapped in another one.
        Task<Void, any Error>(executorPreference: self.loop) { [self] in
            guard let body = firstStep() else { return }
            do {
                lastStep(try await body())
            } catch {
                endedWithError(error)
            }
        }
        started(start)
    }

    // Never inlined: what they need besides the stack would be memory of the native task until it ends.

    @inlinable
    @inline(never)
    func firstStep() -> (() async throws -> Success)? {
        let body = operation.take()
        return begin() ? body : nil
    }

    @inlinable
    @inline(never)
    func lastStep(_ value: Success) {
        storedValue = value
        if endedWithValue() { completeWithValue() }
    }

    /// Suspends until the task is done, and returns what its body returned.
    ///
    /// Of a task that is done this does not suspend. From a plain Swift task, or a task of another loop, it may be awaited too.
    /// - Cancellation: cancels this task, and ends as it ends: if it refuses and returns a value, that value comes back.
    /// - Throws: what the body threw; ``CancelledError`` if it ended cancelled; `LoopError` `.misuse` if the wait would close a cycle, `.closed` if its loop closed before it was done.
    @inlinable
    public var value: Success {
        get async throws {
            if !isDone { try await waitUntilDone() }
            return try result()
        }
    }

    /// What the body returned or threw. Counts as fetching the error.
    /// - Throws: also `LoopError` `.invalidState` if the task is not done.
    @inlinable
    public func result() throws -> Success {
        try requireDone("result()")
        try throwStoredError()
        return storedValue.stored
    }
}

extension LoopTask where Success == Never {
    /// The task whose code is calling; nil in callbacks, in plain Swift tasks and in child tasks.
    public static var current: AnyLoopTask? { EventLoop.callingTask }
}
