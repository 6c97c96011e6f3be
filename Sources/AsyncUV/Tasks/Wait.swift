/// What ``LoopTask/wait(for:until:timeout:)`` waits for.
public enum WaitCondition: Sendable {
    /// Every one is done, whatever it ended with.
    case allCompleted
    /// At least one is done.
    case firstCompleted
    /// The first that ends with an error (a cancellation is none), or all.
    case firstException
}

extension LoopTask where Success == Never {
    /// Waits until `condition` holds or `timeout` is over; says which of `futures` are done, in the order of the argument.
    ///
    /// Cancels nothing, throws nothing of theirs: a timeout is not an error.
    ///
    /// - Cancellation: throws in the next turn; the futures run on.
    /// - Throws: `LoopError` `.misuse` for no futures, or futures of different loops.
    public static func wait<Future: AnyFuture>(
        for futures: [Future], until condition: WaitCondition = .allCompleted, timeout: Duration? = nil
    ) async throws -> (done: [Future], pending: [Future]) {
        guard let loop = try commonLoop(of: futures, "LoopTask.wait") else {
            throw LoopError.misuse("LoopTask.wait", "there is nothing to wait for: the array is empty")
        }
        guard let task = loop.callingTask else {
            return try await bridged("LoopTask.wait", on: loop) { try await wait(for: futures, until: condition, timeout: timeout) }
        }
        var seen: Set<ObjectIdentifier> = []
        let distinct = futures.filter { seen.insert(ObjectIdentifier($0)).inserted }
        let waiting = Waiting(task, count: distinct.count, condition)
        if let timeout {
            waiting.timer = loop.startTimer(at: loop.now.advanced(by: max(timeout, .zero)), .wake(task))
        }
        let callbacks = distinct.map { future in future.whenDone { waiting.ended($0) } }
        await task.park(.leave)
        waiting.isOver = true
        waiting.stopTimer()
        for (future, callback) in zip(distinct, callbacks) { future.removeDoneCallback(callback) }
        try task.throwIfInterrupted()
        return (distinct.filter(\.isDone), distinct.filter { !$0.isDone })
    }
}

private final class Waiting {
    private let task: AnyLoopTask
    private let condition: WaitCondition
    private var left: Int
    var timer: LoopTimer?
    var isOver = false

    init(_ task: AnyLoopTask, count: Int, _ condition: WaitCondition) {
        self.task = task
        self.condition = condition
        left = count
    }

    func ended(_ future: AnyFuture) {
        left -= 1
        if isOver { return }
        let satisfied =
            switch condition {
            case .allCompleted: left == 0
            case .firstCompleted: true
            case .firstException: left == 0 || (future.storedError != nil && !future.isCancelled)
            }
        if satisfied {
            stopTimer()
            task.wake()
        }
    }

    func stopTimer() {
        if let timer { task.loop.stopTimer(timer) }
        timer = nil
    }
}

extension LoopTask where Success == Never {
    /// Awaits `future` for at most `timeout` (nil: without limit). When the time is over it is cancelled **and awaited to its end**: if it refuses and returns a value, that
    /// value comes back, if it throws, that is thrown.
    ///
    /// Zero or less: the value of one that is done, otherwise it is cancelled, awaited, and ``TimeoutError`` thrown. Put a `shield` inside to leave it running.
    ///
    /// - Cancellation: cancels `future` too, and ends as it ends.
    /// - Throws: ``TimeoutError``; what `future` throws; ``CancelledError``.
    public static func waitFor<Future: Awaitable>(_ future: Future, timeout: Duration?) async throws -> Future.Value {
        guard let task = future.loop.callingTask else {
            return try await bridged("LoopTask.waitFor", on: future.loop) { try await waitFor(future, timeout: timeout) }
        }
        guard let timeout, timeout <= .zero else {
            return try await withTimeout(timeout) { try await future.value }
        }
        if future.isDone { return try future.result() }
        var isOver = false
        let callback = future.whenDone { _ in if !isOver { task.wake() } }
        future.cancel(message: "its time was over before it began")
        await task.park(.leave)
        // A callback that is scheduled cannot be taken back: it would wake the task out of its next wait.
        isOver = true
        future.removeDoneCallback(callback)
        try task.throwIfInterrupted()
        do {
            return try future.result()
        } catch let error as CancelledError {
            throw TimeoutError(deadline: task.loop.now, cause: error)
        }
    }
}
