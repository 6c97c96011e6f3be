/// The part of a queue that need not know its items: how many there are, and who waits.
@usableFromInline
final class QueueCore: @unchecked Sendable {
    // Sendable: everything below is touched on the loop's thread only.

    @usableFromInline let loop: EventLoop
    let maxSize: Int
    private(set) var count = 0
    private(set) var isShutDown = false
    /// Whoever is woken is taken out at once, and comes back to the end of the line if another was faster.
    // Not checked for exclusive access, which every item would pay for: a list lets go of tasks that their loop holds until they are done, so that nothing comes back from there.
    @safe @exclusivity(unchecked)
    private var getters = WaitList()
    @safe @exclusivity(unchecked)
    private var putters = WaitList()
    private var unfinished = 0
    /// Set while `unfinished` is zero.
    private let finished: Event

    init(maxSize: Int, loop: EventLoop) throws {
        self.maxSize = maxSize
        self.loop = loop
        finished = try Event(on: loop)
        finished.setHere()
    }

    /// Tasks in ``QueueOf/get()`` and ``QueueOf/put(_:)`` that nothing has woken yet.
    var waitingCount: Int { getters.count + putters.count }

    var isFull: Bool { maxSize > 0 && count >= maxSize }

    // MARK: the generic side asks

    /// The caller is on the loop's thread, and need not wait for an item.
    @usableFromInline var hasItemHere: Bool { loop.isCurrent && count > 0 }

    /// The caller is on the loop's thread, and need not wait for room.
    @usableFromInline var hasRoomHere: Bool { loop.isCurrent && !isFull }

    @usableFromInline var callingTask: AnyLoopTask? { loop.callingTask }

    /// Before an item is stored.
    @usableFromInline
    func admit(_ operation: String) throws {
        if isShutDown { throw LoopError(.queueShutDown, operation, "the queue is shut down and takes no more items") }
        if isFull { throw LoopError(.queueFull, operation, "the queue holds \(maxSize) items already: await put(_:) to wait for room") }
    }

    /// After an item was stored.
    @usableFromInline
    func added() {
        count += 1
        unfinished += 1
        finished.clearHere()
        // Asked first, because mostly nobody waits, and handing the list on costs an access check at run time.
        if !getters.isEmpty { wakeNext(&getters) }
    }

    /// After an item was taken out.
    @usableFromInline
    func removed() {
        count -= 1
        if !putters.isEmpty { wakeNext(&putters) }
    }

    @usableFromInline
    func nothingToTake(_ operation: String) -> LoopError {
        isShutDown
            ? LoopError(.queueShutDown, operation, "the queue is shut down and has no item left")
            : LoopError(.queueEmpty, operation, "the queue is empty: await get() to wait for an item")
    }

    @usableFromInline
    func waitForItem(as task: AnyLoopTask) async throws {
        while count == 0 {
            if isShutDown { throw nothingToTake("Queue.get") }
            getters.append(task)
            await task.park(.leave)
            if getters.holds(task) { getters.remove(task) }
            let wasWoken = !task.isInterrupted
            do {
                try task.throwIfInterrupted()
            } catch {
                if wasWoken && count > 0 { wakeNext(&getters) }
                throw error
            }
        }
    }

    @usableFromInline
    func waitForRoom(as task: AnyLoopTask) async throws {
        while isFull {
            if isShutDown { try admit("Queue.put") }
            putters.append(task)
            await task.park(.leave)
            if putters.holds(task) { putters.remove(task) }
            let wasWoken = !task.isInterrupted
            do {
                try task.throwIfInterrupted()
            } catch {
                if wasWoken && !isFull { wakeNext(&putters) }
                throw error
            }
        }
    }

    // MARK: being done

    func taskDone() throws {
        try loop.requireOwner("Queue.taskDone")
        if unfinished <= 0 {
            throw LoopError.misuse("Queue.taskDone", "it was called for every item already: call it once for each item that was taken")
        }
        unfinished -= 1
        if unfinished == 0 { finished.setHere() }
    }

    func join() async throws {
        if loop.isCurrent && unfinished == 0 { return }
        guard let task = loop.callingTask else {
            return try await bridged("Queue.join", on: loop) { try await self.join() }
        }
        try await finished.wait(as: task)
    }

    func shutDown(droppingItems: Bool) {
        isShutDown = true
        if droppingItems {
            unfinished = max(0, unfinished - count)
            count = 0
            if unfinished == 0 { finished.setHere() }
        }
        wakeAll(&getters)
        wakeAll(&putters)
    }

    // MARK: waking

    /// Those that were cancelled and have not run since are only taken out.
    private func wakeNext(_ waiters: inout WaitList) {
        while let task = waiters.first {
            waiters.remove(task)
            if task.isWaiting {
                task.wake()
                return
            }
        }
    }

    private func wakeAll(_ waiters: inout WaitList) {
        while let task = waiters.first {
            waiters.remove(task)
            task.wake()
        }
    }
}
