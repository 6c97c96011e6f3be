/// A number of permits, handed out first come, first served.
///
/// ```swift
/// let connections = try Semaphore(value: 10)
/// try await connections.withPermit {
///     // at most ten tasks at a time
/// }
/// ```
public class Semaphore: @unchecked Sendable {
    // Sendable: everything below is touched on the loop's thread only.

    final let loop: EventLoop
    private final var waiters = WaitList()
    /// Permits that are neither held nor on their way to a task that was woken.
    private final var free: Int

    /// - Parameters:
    ///   - value: how many permits there are at first.
    ///   - loop: the loop it is bound to; by default the one that the caller runs on.
    /// - Throws: `LoopError` `.misuse` if `value` is negative, or without a loop.
    public init(value: Int = 1, on loop: EventLoop? = nil) throws {
        if value < 0 { throw LoopError.misuse("Semaphore", "its value is \(value): a semaphore starts with 0 permits or more") }
        self.loop = try loop ?? EventLoop.requireCurrent("Semaphore")
        free = value
    }

    /// Permits that nobody holds. ``acquire()`` may suspend all the same: who waits already comes first. On the loop's thread.
    public final var value: Int { free }

    /// ``acquire()`` would suspend: no permit is free, or somebody waits already. On the loop's thread.
    public final var isLocked: Bool { free == 0 || waiters.hasClaims }

    /// How many tasks are in line for a permit. On the loop's thread.
    public final var waitingCount: Int { waiters.count }

    /// Runs `body` while holding a permit, and gives it back on every way out.
    ///
    /// May be used from any task on any thread; `body` runs where the caller runs.
    /// - Cancellation: while it waits for the permit, as ``acquire()``; in `body`, as `body` does.
    /// - Throws: as ``acquire()``, and what `body` throws; as ``release()``.
    @inlinable
    public final func withPermit<Value>(_ body: () async throws -> Value) async throws -> Value {
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

    /// Suspends until a permit is free and all who came before have theirs, and takes it. Does not suspend if that is so already.
    ///
    /// Prefer ``withPermit(_:)``, which cannot forget to release.
    /// - Cancellation: throws in the next turn and takes no permit; one that was on its way goes to the next in line. The place in the line is lost.
    /// - Throws: ``CancelledError`` in a LoopTask, `CancellationError` in a plain task; `LoopError` `.closed` if the loop is.
    public final func acquire() async throws {
        if loop.isCurrent && takeIfFree() { return }
        guard let task = loop.callingTask else {
            return try await bridged("Semaphore.acquire", on: loop) { try await self.acquire() }
        }
        try await waitInLine(task)
    }

    /// Adds a permit, and wakes the next in line. Need not be called by who acquired; more releases than acquires make more permits.
    ///
    /// - Throws: `LoopError` `.misuse` on another thread than its loop's.
    public func release() throws {
        try loop.requireOwner("Semaphore.release")
        free += 1
        wakeNext()
    }

    @usableFromInline
    final func releaseAfterUse() throws {
        guard loop.isOwner else { return loop.postGivingBack("Semaphore.release") { [self] in try release() } }
        try release()
    }

    // MARK: on the loop's thread

    private final func takeIfFree() -> Bool {
        if isLocked { return false }
        free -= 1
        return true
    }

    private final func waitInLine(_ task: AnyLoopTask) async throws(CancelledError) {
        waiters.append(task)
        await task.park(.leave)
        waiters.remove(task)
        let wasWoken = !task.isInterrupted
        // Newcomers had to queue behind this task although permits were free: they are served now, whether it goes on or not.
        defer { while free > 0 && wakeNext() {} }
        do {
            try task.throwIfInterrupted()
        } catch {
            // The permit was taken off for this task when it was woken.
            if wasWoken { free += 1 }
            throw error
        }
    }

    /// Takes a permit off for the first that nothing has woken yet; false if there is none.
    @discardableResult
    private final func wakeNext() -> Bool {
        guard let task = waiters.firstWaiting else { return false }
        free -= 1
        task.wake()
        return true
    }
}
