/// What ``Queue``, ``LifoQueue`` and ``PriorityQueue`` have in common: everything but the order.
///
/// **Bounded.** With a `maxSize`, ``put(_:)`` waits while the queue is full: a producer is never further ahead than that.
///
/// **Who is served.** A task that waits is woken when there is something for it, and takes it when it runs. Between the two another task may be faster; then it waits again,
/// at the end of the line. So the order of items is kept, that of waiting tasks nearly so.
///
/// **Being done.** ``taskDone()`` says that an item that was taken has been dealt with, and ``join()`` waits until all have been. A queue that nobody joins needs neither.
/// ``shutDown(immediate:)`` ends it for producers and consumers.
public class QueueOf<Storage: QueueStorage>: @unchecked Sendable {
    // Sendable: everything below is touched on the loop's thread only, and items are Sendable.

    public typealias Element = Storage.Element

    // Checked for exclusive access by a flag of its own, which costs a thirtieth of the runtime's check: a storage is anybody's code.
    @safe @exclusivity(unchecked)
    @usableFromInline final var storage = Storage()
    @safe @exclusivity(unchecked)
    @usableFromInline final var isInUse = false
    /// Who waits and how many there are, for all kinds of items the same code: what is generic here is only as much as has to know the item.
    @usableFromInline final let core: QueueCore

    /// - Parameters:
    ///   - maxSize: how many items it holds at most; zero or less: any number.
    ///   - loop: the loop it is bound to; by default the one that the caller runs on.
    /// - Throws: `LoopError` `.misuse` without a loop.
    public init(maxSize: Int = 0, on loop: EventLoop? = nil) throws {
        core = try QueueCore(maxSize: maxSize, loop: loop ?? EventLoop.requireCurrent("Queue"))
    }

    @inlinable
    final func withStorage<Result>(_ body: (inout Storage) -> Result) -> Result {
        precondition(!isInUse, "a queue's storage has called the queue that it is in")
        isInUse = true
        defer { isInUse = false }
        return body(&storage)
    }

    // MARK: waiting

    /// Puts an item into the queue; suspends while it is full.
    ///
    /// - Cancellation: throws in the next turn, and the item was not put. The place in the line is lost.
    /// - Throws: `LoopError` `.queueShutDown` if the queue is, or is meanwhile; ``CancelledError`` in a LoopTask, `CancellationError` in a plain task;
    ///   `LoopError` `.closed` if the loop is.
    @inlinable
    public final func put(_ item: Element) async throws {
        if !core.hasRoomHere {
            guard let task = core.callingTask else {
                return try await bridged("Queue.put", on: core.loop) { try await self.put(item) }
            }
            try await core.waitForRoom(as: task)
        }
        try core.admit("Queue.put")
        withStorage { $0.put(item) }
        core.added()
    }

    /// Takes the next item; suspends while there is none.
    ///
    /// - Cancellation: throws in the next turn and takes no item; one that was meant for this task stays, and the next in line is woken. The place in the line is lost.
    /// - Throws: `LoopError` `.queueShutDown` if the queue is, or is meanwhile, and has no item left; ``CancelledError`` in a LoopTask,
    ///   `CancellationError` in a plain task; `LoopError` `.closed` if the loop is.
    @inlinable
    public final func get() async throws -> Element {
        if !core.hasItemHere {
            guard let task = core.callingTask else {
                return try await bridged("Queue.get", on: core.loop) { try await self.get() }
            }
            try await core.waitForItem(as: task)
        }
        guard let item = withStorage({ $0.take() }) else { throw core.nothingToTake("Queue.get") }
        core.removed()
        return item
    }

    /// Suspends until ``taskDone()`` was called for every item that was ever put. Does not suspend if that is so.
    ///
    /// - Cancellation: throws in the next turn. Loses nothing.
    /// - Throws: ``CancelledError`` in a LoopTask, `CancellationError` in a plain task; `LoopError` `.closed` if the loop is.
    public final func join() async throws { try await core.join() }

    // MARK: at once

    /// Puts an item into the queue now.
    ///
    /// - Throws: `LoopError` `.queueFull` if there is no room, `.queueShutDown` if the queue is shut down; `.misuse` on another thread than its loop's.
    @inlinable
    public final func putNow(_ item: Element) throws {
        try core.loop.requireOwner("Queue.putNow")
        try core.admit("Queue.putNow")
        withStorage { $0.put(item) }
        core.added()
    }

    /// Takes the next item now.
    ///
    /// - Throws: `LoopError` `.queueEmpty` if there is none, `.queueShutDown` if there will never be one; `.misuse` on another thread than its loop's.
    @inlinable
    public final func getNow() throws -> Element {
        try core.loop.requireOwner("Queue.getNow")
        guard let item = withStorage({ $0.take() }) else { throw core.nothingToTake("Queue.getNow") }
        core.removed()
        return item
    }

    /// One item that was taken has been dealt with.
    ///
    /// - Throws: `LoopError` `.misuse` if that has been said of all items already, or on another thread than its loop's.
    public final func taskDone() throws { try core.taskDone() }

    /// Ends the queue: puts throw `.queueShutDown` from now on, and gets as soon as no item is left. Everyone who waits in either is woken for it.
    /// Calling it again is not an error.
    ///
    /// - Parameter immediate: drops the items that are left, and counts them as done.
    /// - Throws: `LoopError` `.misuse` on another thread than its loop's.
    public final func shutDown(immediate: Bool = false) throws {
        try core.loop.requireOwner("Queue.shutDown")
        // Let go at the very end: an item's deinit may look at the queue.
        var dropped = Storage()
        if immediate { withStorage { swap(&dropped, &$0) } }
        core.shutDown(droppingItems: immediate)
    }

    // MARK: state

    /// How many items it holds at most; zero or less: any number.
    public final var maxSize: Int { core.maxSize }

    /// How many items it holds. On the loop's thread.
    public final var count: Int { core.count }

    /// On the loop's thread.
    public final var isEmpty: Bool { core.count == 0 }

    /// It holds `maxSize` items; never true of an unbounded queue. On the loop's thread.
    public final var isFull: Bool { core.isFull }

    /// On the loop's thread.
    public final var isShutDown: Bool { core.isShutDown }
}
