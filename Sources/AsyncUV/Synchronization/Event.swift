/// A flag that tasks can wait for.
///
/// ```swift
/// let ready = try Event()
/// let worker = LoopTask { try await ready.wait() }
/// try ready.set()
/// ```
public final class Event: @unchecked Sendable {
    // Sendable: everything below is touched on the loop's thread only.

    let loop: EventLoop
    private var waiters = WaitList()
    private var flag = false

    /// An event that is not set.
    ///
    /// - Parameter loop: the loop it is bound to; by default the one that the caller runs on.
    /// - Throws: `LoopError` `.misuse` without a loop.
    public init(on loop: EventLoop? = nil) throws {
        self.loop = try loop ?? EventLoop.requireCurrent("Event")
    }

    /// On the loop's thread.
    public var isSet: Bool { flag }

    /// How many tasks wait for it. On the loop's thread.
    public var waitingCount: Int { waiters.count }

    /// Suspends until the event is set. One that is set does not suspend.
    ///
    /// Whoever waits when it is set is woken, even if it is cleared again before they run.
    /// - Cancellation: throws in the next turn. Loses nothing.
    /// - Throws: ``CancelledError`` in a LoopTask, `CancellationError` in a plain task; `LoopError` `.closed` if the loop is.
    public func wait() async throws {
        if loop.isCurrent && flag { return }
        guard let task = loop.callingTask else {
            return try await bridged("Event.wait", on: loop) { try await self.wait() }
        }
        try await wait(as: task)
    }

    /// Sets the flag and wakes everyone who waits. Setting it again is not an error.
    ///
    /// - Throws: `LoopError` `.misuse` on another thread than its loop's.
    public func set() throws {
        try loop.requireOwner("Event.set")
        setHere()
    }

    /// Unsets the flag: who comes now waits for the next ``set()``.
    ///
    /// - Throws: `LoopError` `.misuse` on another thread than its loop's.
    public func clear() throws {
        try loop.requireOwner("Event.clear")
        clearHere()
    }

    // MARK: on the loop's thread

    func wait(as task: AnyLoopTask) async throws(CancelledError) {
        if flag { return }
        waiters.append(task)
        await task.park(.leave)
        waiters.remove(task)
        try task.throwIfInterrupted()
    }

    func setHere() {
        if flag { return }
        flag = true
        waiters.wake()
    }

    func clearHere() { flag = false }
}
