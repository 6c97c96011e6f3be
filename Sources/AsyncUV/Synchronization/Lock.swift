/// Mutual exclusion between tasks of one loop, fair: first come, first served.
///
/// ```swift
/// let lock = try Lock()
/// try await lock.withLock {
///     // one task at a time, across its awaits
/// }
/// ```
///
/// Code without an `await` inside needs no lock: tasks of one loop change places only where they wait.
/// The lock does not know who holds it: any task may release it, and a task that acquires it twice waits for ever.
public final class Lock: @unchecked Sendable {
    // Sendable: everything below is touched on the loop's thread only.

    let loop: EventLoop
    private var waiters = WaitList()
    private var locked = false

    /// - Parameter loop: the loop it is bound to; by default the one that the caller runs on.
    /// - Throws: `LoopError` `.misuse` without a loop.
    public init(on loop: EventLoop? = nil) throws {
        self.loop = try loop ?? EventLoop.requireCurrent("Lock")
    }

    /// Somebody holds it. On the loop's thread.
    public var isLocked: Bool { locked }

    /// How many tasks are in line for it. On the loop's thread.
    public var waitingCount: Int { waiters.count }

    /// Runs `body` while holding the lock, and releases it on every way out.
    ///
    /// May be used from any task on any thread; `body` runs where the caller runs.
    /// - Cancellation: while it waits for the lock, as ``acquire()``; in `body`, as `body` does.
    /// - Throws: as ``acquire()``, and what `body` throws; `LoopError` `.misuse` if `body` has released the lock itself.
    @inlinable
    public func withLock<Value>(_ body: () async throws -> Value) async throws -> Value {
        try await acquire()
        let value: Value
        do {
            value = try await body()
        } catch {
            try releaseAfterUse()
            throw error
        }
        try releaseAfterUse()
        return value
    }

    /// Suspends until the lock is free, and takes it. A lock that is free and that nobody waits for is taken without suspending.
    ///
    /// Prefer ``withLock(_:)``, which cannot forget to release.
    /// - Cancellation: throws in the next turn, and the lock is not taken; if it was on its way to this task, the next one in line gets it. The place in the line is lost.
    /// - Throws: ``CancelledError`` in a LoopTask, `CancellationError` in a plain task; `LoopError` `.closed` if the loop is.
    public func acquire() async throws {
        if loop.isCurrent && takeIfFree() { return }
        guard let task = loop.callingTask else {
            return try await bridged("Lock.acquire", on: loop) { try await self.acquire() }
        }
        try await waitInLine(task)
    }

    /// Frees the lock, and wakes the first in line. A newcomer queues behind it, although the lock is free until that task runs.
    ///
    /// - Throws: `LoopError` `.misuse` if the lock is not held, or on another thread than its loop's.
    public func release() throws {
        try loop.requireOwner("Lock.release")
        if !locked { throw LoopError.misuse("Lock.release", "the lock is not held: release it once for each acquire, or use withLock { … }") }
        releaseHere()
    }

    @usableFromInline
    func releaseAfterUse() throws {
        guard loop.isOwner else { return loop.postGivingBack("Lock.release") { [self] in try release() } }
        try release()
    }

    // MARK: on the loop's thread

    func acquire(as task: AnyLoopTask) async throws(CancelledError) {
        if !takeIfFree() { try await waitInLine(task) }
    }

    private func takeIfFree() -> Bool {
        if locked || waiters.hasClaims { return false }
        locked = true
        return true
    }

    private func waitInLine(_ task: AnyLoopTask) async throws(CancelledError) {
        waiters.append(task)
        await task.park(.leave)
        waiters.remove(task)
        do {
            try task.throwIfInterrupted()
        } catch {
            // The wake-up may have been meant for this task, or a release may have looked at it and no further.
            if !locked { wakeFirst() }
            throw error
        }
        locked = true
    }

    func releaseHere() {
        locked = false
        wakeFirst()
    }

    /// Only ever the first: if that one is woken already, or cancelled, it passes the wake-up on itself when it runs.
    private func wakeFirst() { waiters.first?.wake() }
}
