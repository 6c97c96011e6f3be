/// A lock, and tasks that wait, inside it, for a change of what it guards.
///
/// ```swift
/// try await condition.withLock {
///     try await condition.wait(until: { !jobs.isEmpty })
///     work(on: jobs.removeFirst())
/// }
/// // elsewhere
/// try await condition.withLock {
///     jobs.append(job)
///     try condition.notify()
/// }
/// ```
public final class Condition: @unchecked Sendable {
    // Sendable: everything below is touched on the loop's thread only.

    let loop: EventLoop
    @usableFromInline let lock: Lock
    private var waiters = WaitList()

    /// - Parameters:
    ///   - lock: may be shared by several conditions; by default one of its own.
    ///   - loop: the loop it is bound to; by default its lock's, or the one that the caller runs on.
    /// - Throws: `LoopError` `.misuse` without a loop, or if the lock belongs to another one.
    public init(lock: Lock? = nil, on loop: EventLoop? = nil) throws {
        if let lock, let loop, lock.loop !== loop {
            throw LoopError.misuse("Condition", on: loop.description, "its lock belongs to \(lock.loop)")
        }
        let lock = try lock ?? Lock(on: loop ?? EventLoop.requireCurrent("Condition"))
        self.lock = lock
        self.loop = lock.loop
    }

    /// Somebody holds the lock. On the loop's thread.
    public var isLocked: Bool { lock.isLocked }

    /// How many tasks wait for a notification. On the loop's thread.
    public var waitingCount: Int { waiters.count }

    /// Runs `body` while holding the lock; see ``Lock/withLock(_:)``.
    @inlinable
    public func withLock<Value>(_ body: () async throws -> Value) async throws -> Value {
        try await lock.withLock(body)
    }

    /// See ``Lock/acquire()``.
    public func acquire() async throws { try await lock.acquire() }

    /// See ``Lock/release()``.
    public func release() throws { try lock.release() }

    /// Releases the lock, suspends until a ``notify(_:)`` picks this task, and acquires the lock again.
    ///
    /// It may return without a notification that was meant for this task: look again at what you wait for, or use ``wait(until:)``.
    /// - Cancellation: the lock is acquired again *before* the error is thrown, however long that takes; of requests that come meanwhile the last one is thrown. A
    ///   notification that this task had got goes to another one.
    /// - Throws: ``CancelledError`` in a LoopTask, `CancellationError` in a plain task, with the lock held; `LoopError` `.misuse` if nobody holds the lock.
    public func wait() async throws {
        guard let task = loop.callingTask else {
            return try await bridged("Condition.wait", on: loop) { try await self.wait() }
        }
        try await wait(as: task)
    }

    /// Waits until `predicate` is true; it is asked before the first wait and after each, with the lock held, where the caller runs.
    ///
    /// - Cancellation, Throws: as ``wait()``, and what `predicate` throws.
    public func wait(until predicate: () throws -> Bool) async throws {
        while try !predicate() { try await wait() }
    }

    /// Wakes up to `count` of the tasks that wait, longest waiting first. They go on when they have acquired the lock, which the caller still holds.
    ///
    /// Nobody waiting, or a `count` of zero or less, is not an error: nothing happens.
    /// - Throws: `LoopError` `.misuse` if nobody holds the lock, or on another thread than its loop's.
    public func notify(_ count: Int = 1) throws {
        try loop.requireOwner("Condition.notify")
        if !lock.isLocked { throw LoopError.misuse("Condition.notify", Condition.lockAdvice) }
        waiters.wake(upTo: count)
    }

    /// Wakes all tasks that wait; see ``notify(_:)``.
    public func notifyAll() throws { try notify(.max) }

    // MARK: on the loop's thread

    private static let lockAdvice = "nobody holds the lock of the condition: call it inside withLock { … }"

    func wait(as task: AnyLoopTask) async throws {
        if !lock.isLocked { throw LoopError.misuse("Condition.wait", Condition.lockAdvice) }
        lock.releaseHere()
        waiters.append(task)
        await task.park(.leave)
        waiters.remove(task)
        var failure = task.cancellation.takeDelivery().map { CancelledError($0) }
        // Nobody may leave a condition without its lock, so a cancelled acquire is tried again.
        while true {
            do throws(CancelledError) {
                try await lock.acquire(as: task)
                break
            } catch {
                failure = error
            }
        }
        if let failure {
            // Perhaps this task was notified: then somebody else has to be. If it was not, a wake-up too many does no harm.
            waiters.wake(upTo: 1)
            throw failure
        }
    }

    func notifyAllHere() { waiters.wake() }
}
