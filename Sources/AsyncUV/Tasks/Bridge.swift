internal import Synchronization

// The way between LoopTasks and everything else: plain Swift tasks, child tasks, tasks of other loops, foreign async code.

/// Runs an operation of ours for a caller that is not a LoopTask of the loop it belongs to.
///
/// A LoopTask that is away from its thread (in an actor of somebody else's) hops home, and the operation is as exact as ever. For everyone else a helper
/// LoopTask on the loop does it; native cancellation of the caller cancels the helper, and comes back as `CancellationError`.
@usableFromInline
func bridged<Value: Sendable>(
    _ operation: String, on target: EventLoop? = nil, _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    if let home = EventLoop.preferred, !home.isCurrent, !home.isClosed, target == nil || target === home {
        return try await onPreferredExecutor(body)
    }
    guard let loop = target ?? EventLoop.current ?? EventLoop.preferred else {
        throw LoopError.misuse(operation, EventLoop.noLoopAdvice)
    }
    if loop.isClosed { throw LoopError(.closed, operation, on: loop.description, "the loop is closed") }
    let helper = LoopTask(name: operation, on: loop, eager: true) { try await body() }
    if let task = EventLoop.callingTask, task.loop !== loop {
        // What the helper has taken (an item, a lock) nobody else can give back: it comes first, and a cancellation that arrived meanwhile at the next wait.
        try await task.waitAcrossLoops(for: helper, valueComesFirst: true)
        return try helper.result()
    }
    return try await helper.value
}

/// Runs `body` where the current task prefers to run: for a LoopTask on its loop.
@concurrent
private func onPreferredExecutor<Value: Sendable>(_ body: @Sendable () async throws -> Value) async throws -> Value {
    // The look at where we are is needed: Swift 6.3 leaves out the hop of a `@concurrent` function that does nothing but call one that runs where its
    // caller is, and this would call itself for ever.
    guard let home = EventLoop.preferred, home.isCurrent else {
        throw LoopError.misuse("await", "the task is away from its event loop and could not get back to it")
    }
    return try await body()
}

extension AnyFuture {
    /// Awaits from a place that is not a LoopTask of this future's loop.
    func waitFromElsewhere() async throws {
        if let task = EventLoop.callingTask {
            try await task.wait(for: self)
        } else if let home = EventLoop.preferred, !home.isCurrent, !home.isClosed {
            try await onPreferredExecutor { try await self.waitUntilDone() }
        } else {
            try await waitFromPlainTask()
        }
    }

    private func waitFromPlainTask() async throws {
        // The suspension is ended by the done callback and by nothing else, so a cancellation can race with nothing.
        let accepted = await withTaskCancellationHandler {
            await Resumption.suspend { resumption in
                let register = { [self] in
                    loop.plainWaiters += 1
                    tellOutside { future in
                        future.loop.plainWaiters -= 1
                        resumption.resume(returning: true)
                    }
                }
                if loop.isOwner {
                    register()
                } else if !loop.inbox.post(.call(register)) {
                    resumption.resume(returning: false)
                }
            }
        } onCancel: {
            _ = requestCancel(CancelOrigin(.native, message: nil, file: #fileID, line: #line, requester: nil, turn: 0))
        }
        if !accepted { throw LoopError(.closed, "await", on: describedForErrors, "its event loop is closed") }
        if Task.isCancelled, storedError is CancelledError { throw CancellationError() }
    }
}

extension AnyFuture {
    /// Calls `body` when it is done, or when its loop closes, whichever comes first: who waits outside must not hang. On the loop's thread.
    fileprivate func tellOutside(_ body: @escaping (AnyFuture) -> Void) {
        loop.outsideWaitNumber &+= 1
        let number = loop.outsideWaitNumber
        loop.outsideWaits[number] = self
        add(
            DoneCallback { future in
                future.loop.outsideWaits[number] = nil
                body(future)
            })
    }

    /// Its loop closes, and nobody will complete it any more.
    func failClosed() {
        let error = LoopError(.closed, "await", on: describedForErrors, "its event loop was closed before it was done")
        if complete(failure: error) { reportsError = false }
    }
}

extension AnyLoopTask {
    /// Awaits a future of another loop: it is watched there, and the news is posted here.
    func waitAcrossLoops(for future: AnyFuture, valueComesFirst: Bool = false) async throws {
        let home = loop
        let relay = Future<Void>(loop: home)
        let posted = future.loop.inbox.post(
            .call {
                future.tellOutside { _ in
                    // A home loop that was closed meanwhile has nobody left to tell.
                    _ = home.inbox.post(.call { relay.setResultUnlessDone(()) })
                }
            })
        guard posted else { throw LoopError(.closed, "await", on: future.describedForErrors, "its event loop is closed") }
        relay.addWaiter(self)
        home.outstanding += 1
        let forwarding = Forwarding()
        await park(
            .forward(
                Undo.Forward { origin in
                    // Done: the news is on its way.
                    if future.isDone { return false }
                    let posted = future.loop.inbox.post(
                        .call { if future.requestCancel(origin) { forwarding.accepted.store(true, ordering: .releasing) } })
                    if posted { forwarding.request = forwarding.request ?? origin }
                    // Of a loop that was closed there will be no news.
                    return posted || (!future.isDone && relay.complete(cancelled: CancelledError(origin)))
                }))
        home.outstanding -= 1
        try relay.throwStoredError()
        // A request that was accepted there is the future's; one that came too late is thrown here after all. The news comes after the acceptance.
        let tooLate = forwarding.accepted.load(ordering: .acquiring) ? nil : forwarding.request
        guard let origin = cancellation.takeDelivery() ?? tooLate, !(future.storedError is CancelledError) else { return }
        if valueComesFirst {
            cancellation.remember(origin)
        } else {
            throw CancelledError(origin)
        }
    }
}

/// A request that was carried to another loop.
private final class Forwarding: @unchecked Sendable {
    // Sendable: the request belongs to the waiting task's loop, and the answer is atomic.
    var request: CancelOrigin?
    let accepted = Atomic<Bool>(false)
}
