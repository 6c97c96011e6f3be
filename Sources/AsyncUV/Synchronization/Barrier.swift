/// A place where tasks wait for each other: when as many have arrived as there are parties, all go on, and it can be used again.
///
/// ```swift
/// let barrier = try Barrier(parties: 3)
/// let index = try await barrier.wait()   // 0, 1 or 2, in the order of arrival
/// ```
public final class Barrier: @unchecked Sendable {
    // Sendable: everything below is touched on the loop's thread only.

    private enum State {
        /// Arrivals are counted.
        case filling
        /// All have arrived and are leaving; who comes now waits for the next round.
        case draining
        /// As draining, but those who leave throw.
        case resetting
        case broken
    }

    /// How many tasks wait for each other.
    public let parties: Int
    private let condition: Condition
    private var state = State.filling
    /// Tasks that have arrived and not left.
    private var count = 0

    private var loop: EventLoop { condition.loop }

    /// - Parameters:
    ///   - parties: 1 or more.
    ///   - loop: the loop it is bound to; by default the one that the caller runs on.
    /// - Throws: `LoopError` `.misuse` if `parties` is less than 1, or without a loop.
    public init(parties: Int, on loop: EventLoop? = nil) throws {
        if parties < 1 { throw LoopError.misuse("Barrier", "it has \(parties) parties: it needs 1 or more") }
        self.parties = parties
        condition = try Condition(on: loop ?? EventLoop.requireCurrent("Barrier"))
    }

    /// How many tasks have arrived and wait for the others. On the loop's thread.
    public var waitingCount: Int { state == .filling ? count : 0 }

    /// It was aborted: every ``wait()`` throws, until a ``reset()``. On the loop's thread.
    public var isBroken: Bool { state == .broken }

    /// Suspends until all parties have arrived. The last one to arrive does not wait.
    ///
    /// Who arrives while a full round is still leaving waits for that first.
    /// - Returns: the place in the order of arrival, from 0.
    /// - Cancellation: throws, and the barrier counts one arrival less; it is not broken by that.
    /// - Throws: `LoopError` `.brokenBarrier` if the barrier is reset or aborted while this waits, or was aborted before; ``CancelledError`` in a LoopTask,
    ///   `CancellationError` in a plain task.
    public func wait() async throws -> Int {
        guard let task = loop.callingTask else {
            return try await bridged("Barrier.wait", on: loop) { try await self.wait() }
        }
        try await condition.lock.acquire(as: task)
        defer { condition.lock.releaseHere() }
        while state == .draining || state == .resetting { try await condition.wait(as: task) }
        if state == .broken { throw LoopError(.brokenBarrier, "Barrier.wait", "the barrier was aborted: reset it before it is used again") }
        let index = count
        count += 1
        defer { leave() }
        if count == parties {
            state = .draining
            condition.notifyAllHere()
        } else {
            while state == .filling { try await condition.wait(as: task) }
            if state == .broken || state == .resetting {
                throw LoopError(.brokenBarrier, "Barrier.wait", "the barrier was \(state == .broken ? "aborted" : "reset") while a task waited at it")
            }
        }
        return index
    }

    /// Makes the barrier as new; tasks that wait at it get `brokenBarrier`. Repairs a broken one.
    ///
    /// - Cancellation: may suspend while others are arriving or leaving; then it throws, and nothing was done.
    /// - Throws: ``CancelledError`` in a LoopTask, `CancellationError` in a plain task.
    public func reset() async throws {
        guard let task = loop.callingTask else {
            return try await bridged("Barrier.reset", on: loop) { try await self.reset() }
        }
        try await condition.lock.acquire(as: task)
        state = count > 0 ? .resetting : .filling
        condition.notifyAllHere()
        condition.lock.releaseHere()
    }

    /// Breaks the barrier: tasks that wait at it, and all that come, get `brokenBarrier`.
    ///
    /// - Cancellation, Throws: as ``reset()``.
    public func abort() async throws {
        guard let task = loop.callingTask else {
            return try await bridged("Barrier.abort", on: loop) { try await self.abort() }
        }
        try await condition.lock.acquire(as: task)
        state = .broken
        condition.notifyAllHere()
        condition.lock.releaseHere()
    }

    private func leave() {
        count -= 1
        if count > 0 { return }
        if state == .resetting || state == .draining { state = .filling }
        condition.notifyAllHere()
    }
}
