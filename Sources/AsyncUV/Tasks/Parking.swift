extension AnyLoopTask {
    /// The one primitive that suspends a task. Every wait brings its undo; whoever wakes calls `wake()`, and brings no value: the woken task looks at
    /// its cancellation first (`throwIfInterrupted`), and takes the value itself.
    ///
    /// On the loop's thread, by the task itself. A request that has not been delivered ends the wait at once, in the next turn.
    @inline(__always)
    func park(_ undo: Undo) async {
        beginWait(undo)
        await suspend()
    }

    // Never inlined: what it needs besides the stack would be memory of the native task, in whichever wait it stands.
    @inline(never)
    private func beginWait(_ undo: Undo) {
        self.undo = undo
        cancellation.park()
        if let origin = cancellation.takePending() { perform(.undo, origin) }
    }

    /// Suspends for one turn.
    func parkForOneTurn() async {
        beginTurn()
        await suspend()
    }

    @inline(never)
    private func beginTurn() {
        cancellation.parkReady()
        loop.ready.append(.wake(self))
    }

    // Always inlined: a frame of its own would cost every wait more.
    @inline(__always)
    private func suspend() async {
        await Resumption.suspendHere { resumption = $0 }
    }

    /// The loop's side: what the task waits for has happened. Ignored if the wait has ended already.
    func wake() {
        if cancellation.wake() { loop.ready.append(.wake(self)) }
    }

    /// At the end of a wait: throws the request that interrupted it, or that came since. Then nothing must be taken.
    func throwIfInterrupted() throws(CancelledError) {
        if let origin = cancellation.takeDelivery() { throw CancelledError(origin) }
    }

    /// Parks, with a way out by `leave`, and throws if it was cancelled.
    func parkInList() async throws(CancelledError) {
        await park(.leave)
        try throwIfInterrupted()
    }

    /// Waits until `future` is done. A cancellation goes to the future, and what becomes of it is what this wait sees.
    func wait(for future: AnyFuture) async throws {
        if future.loop !== loop {
            try await waitAcrossLoops(for: future)
            return
        }
        try beginWait(for: future)
        await park(.future(future))
        try endWait(for: future)
    }

    @inline(never)
    private func beginWait(for future: AnyFuture) throws {
        if hasWaiters || future === self, let cycle = cycleThrough(future) {
            throw LoopError.misuse(
                "await", on: "task \(name)",
                cycle.count == 1
                    ? "a task cannot await itself"
                    : "it would wait for ever in a cycle: " + (cycle + [cycle[0]]).joined(separator: " → "))
        }
        future.addWaiter(self)
    }

    @inline(never)
    private func endWait(for future: AnyFuture) throws {
        // If the future ended by cancellation that error is what the caller gets, and it stands for every request up to now.
        let origin = cancellation.takeDelivery()
        if let origin, !(future.storedError is CancelledError) { throw CancelledError(origin) }
    }

    /// The names along a cycle that awaiting `future` would close; nil if there is none.
    private func cycleThrough(_ future: AnyFuture) -> [String]? {
        if future === self { return [name] }
        var seen: Set<ObjectIdentifier> = [ObjectIdentifier(future)]
        // The way to here, and what is still to be looked at from each step. No recursion: a way may be longer than the stack is deep.
        var way: [(future: AnyFuture, left: [AnyFuture])] = [(future, future.waitedFor)]
        while !way.isEmpty {
            guard let next = way[way.count - 1].left.popLast() else {
                way.removeLast()
                continue
            }
            if next === self { return [name] + way.compactMap { ($0.future as? AnyLoopTask)?.name } }
            if !next.isDone && seen.insert(ObjectIdentifier(next)).inserted { way.append((next, next.waitedFor)) }
        }
        return nil
    }
}

/// Tasks that wait, in order. A task is in at most one list, and takes itself out when it resumes.
struct WaitList {
    private(set) var first: AnyLoopTask?
    private var last: AnyLoopTask?
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    mutating func append(_ task: AnyLoopTask) {
        task.previousWaiter = last
        if let last { last.nextWaiter = task } else { first = task }
        last = task
        count += 1
    }

    /// The task must be in this list.
    mutating func remove(_ task: AnyLoopTask) {
        let next = task.nextWaiter
        let previous = task.previousWaiter
        if let next { next.previousWaiter = previous } else { last = previous }
        if let previous { previous.nextWaiter = next } else { first = next }
        task.nextWaiter = nil
        task.previousWaiter = nil
        count -= 1
    }

    /// Wakes whoever still waits; they leave when they resume.
    func wakeAll() {
        var task = first
        while let current = task {
            task = current.nextWaiter
            current.wake()
        }
    }

    /// From first to last, as long as `body` says true.
    func forEach(_ body: (AnyLoopTask) -> Bool) {
        var task = first
        while let current = task {
            let next = current.nextWaiter
            if !body(current) { return }
            task = next
        }
    }
}

extension AnyLoopTask {
    /// In a waiters' list: nothing has woken it yet.
    var isWaiting: Bool { cancellation.phase == .parked }
    /// In a waiters' list, but its wait was cancelled: it will leave when it resumes.
    var isInterrupted: Bool { cancellation.interruption != nil }
}
