/// Runs `body`, mostly the clean-up after a cancellation, so that further cancellations do not interrupt it for up to `deadline`.
///
/// Requests that arrive inside, or had arrived and were not delivered, are counted at once and held back. The first of them is delivered when the body has ended, at the task's next
/// wait that suspends, or, when the time is over, wherever the body waits: cleaning up has a limit. Shields nest; the outermost deadline counts.
///
/// - Cancellation: see above. What awaits this task meanwhile waits.
/// - Throws: what `body` throws, ``CancelledError`` among it once the time is over; `LoopError` `.misuse` outside a LoopTask.
public func withCleanup<Value>(deadline: Duration, _ body: () async throws -> Value) async throws -> Value {
    let task = try taskForScope("withCleanup")
    let loop = task.loop
    var isOver = false
    let depth = task.cancellation.enterGrace()
    let leave = {
        if isOver { return }
        isOver = true
        if let (origin, action) = task.cancellation.leaveGrace(depth) { task.perform(action, origin) }
    }
    let timer = loop.startTimer(at: loop.now.advanced(by: max(deadline, .zero)), .call(leave))
    defer {
        loop.stopTimer(timer)
        leave()
    }
    return try await body()
}
