extension LoopTask where Success == Never {
    /// Suspends the current task for at least `duration`; the system clock rounds up to whole milliseconds.
    ///
    /// Zero or less is not an error: every other ready task gets one turn.
    ///
    /// - Cancellation: throws in the next turn; the timer is already stopped when `cancel()` returns. Loses nothing.
    /// - Throws: ``CancelledError`` in a LoopTask, `CancellationError` in a plain task; `LoopError` `.misuse` where there is no event loop.
    @inlinable
    public static func sleep(for duration: Duration) async throws { try await AnyLoopTask.sleep(for: duration) }

    /// Suspends the current task until its loop's clock shows at least `instant`; one that has passed gives every other ready task one turn.
    ///
    /// - Cancellation, Throws: as ``sleep(for:)``.
    @inlinable
    public static func sleep(until instant: LoopInstant) async throws { try await AnyLoopTask.sleep(until: instant) }

    /// Gives every other ready task one turn.
    ///
    /// - Cancellation: throws in the next turn. Loses nothing.
    /// - Throws: as ``sleep(for:)``.
    @inlinable
    public static func yield() async throws { try await AnyLoopTask.yield() }
}

// What clients' code calls directly: a frame less to each wait than by a method of LoopTask, which is generic.
extension AnyLoopTask {
    @usableFromInline
    static func sleep(for duration: Duration) async throws {
        guard let task = EventLoop.callingTask else {
            return try await bridged("LoopTask.sleep") { try await LoopTask.sleep(for: duration) }
        }
        if duration <= .zero {
            await task.parkForOneTurn()
            try task.throwIfInterrupted()
        } else {
            try await task.sleep(until: task.loop.now.advanced(by: duration))
        }
    }

    @usableFromInline
    static func sleep(until instant: LoopInstant) async throws {
        guard let task = EventLoop.callingTask else {
            return try await bridged("LoopTask.sleep") { try await LoopTask.sleep(until: instant) }
        }
        if instant <= task.loop.now {
            await task.parkForOneTurn()
            try task.throwIfInterrupted()
        } else {
            try await task.sleep(until: instant)
        }
    }

    @usableFromInline
    static func yield() async throws {
        guard let task = EventLoop.callingTask else {
            return try await bridged("LoopTask.sleep") { try await LoopTask.yield() }
        }
        await task.parkForOneTurn()
        try task.throwIfInterrupted()
    }

    fileprivate func sleep(until instant: LoopInstant) async throws(CancelledError) {
        // The timer fires as an entry of its own, and the task is resumed in the turn after it, as in asyncio.
        await park(.timer(loop.startTimer(at: instant, .wake(self)).slot))
        try throwIfInterrupted()
    }
}
