extension LoopTask where Success == Never {
    /// The futures as they get done: `for try await done in LoopTask.asCompleted(tasks) { … }`. One that is given twice comes once.
    ///
    /// - Parameter timeout: counts from the first `next()`; when it is over, the next step throws ``TimeoutError``. Nothing is cancelled.
    public static func asCompleted<Future: AnyFuture>(_ futures: [Future], timeout: Duration? = nil) -> CompletedFutures<Future> {
        CompletedFutures(futures: futures, timeout: timeout)
    }
}

/// See ``LoopTask/asCompleted(_:timeout:)``. To be iterated by one LoopTask of the futures' loop.
public struct CompletedFutures<Future: AnyFuture>: AsyncSequence, Sendable {
    let futures: [Future]
    let timeout: Duration?

    public func makeAsyncIterator() -> Iterator { Iterator(futures: futures, timeout: timeout) }

    public struct Iterator: AsyncIteratorProtocol {
        let futures: [Future]
        let timeout: Duration?
        private var completion: Completion<Future>?

        init(futures: [Future], timeout: Duration?) {
            self.futures = futures
            self.timeout = timeout
        }

        /// The next that is done; nil after the last.
        ///
        /// - Cancellation: throws in the next turn; loses nothing, the next call goes on.
        /// - Throws: ``TimeoutError``; `LoopError` `.misuse` outside a LoopTask of the futures' loop.
        public mutating func next() async throws -> Future? {
            if futures.isEmpty { return nil }
            guard let loop = try commonLoop(of: futures, "LoopTask.asCompleted"), let task = loop.callingTask else {
                throw LoopError.misuse("LoopTask.asCompleted", "to be iterated in a LoopTask of the futures' loop")
            }
            let completion = completion ?? Completion(futures, loop: loop, timeout: timeout)
            self.completion = completion
            return try await completion.next(task)
        }
    }
}

private final class Completion<Future: AnyFuture> {
    private let loop: EventLoop
    private var done = RingQueue<Future>()
    private var open: [ObjectIdentifier: (future: Future, callback: DoneCallback)] = [:]
    private var left: Int
    private var deadline: LoopInstant?
    private var timer: LoopTimer?
    private var timeoutHit = false
    private var waiter: AnyLoopTask?

    init(_ futures: [Future], loop: EventLoop, timeout: Duration?) {
        self.loop = loop
        var seen: Set<ObjectIdentifier> = []
        let distinct = futures.filter { seen.insert(ObjectIdentifier($0)).inserted }
        left = distinct.count
        for future in distinct {
            // Weak: one that was scheduled cannot be taken back, and may run when the iterator has gone.
            open[ObjectIdentifier(future)] = (future, future.whenDone { [weak self] _ in self?.ended(future) })
        }
        if let timeout {
            let deadline = loop.now.advanced(by: max(timeout, .zero))
            self.deadline = deadline
            timer = loop.startTimer(at: deadline, .call { [unowned self] in timeIsOver() })
        }
    }

    deinit {
        stopTimer()
        for (future, callback) in open.values { future.removeDoneCallback(callback) }
    }

    func next(_ task: AnyLoopTask) async throws -> Future? {
        if left == 0 { return nil }
        while done.isEmpty {
            if timeoutHit, let deadline { throw TimeoutError(deadline: deadline, cause: nil) }
            waiter = task
            await task.park(.leave)
            waiter = nil
            try task.throwIfInterrupted()
        }
        left -= 1
        return done.popFirst()
    }

    private func ended(_ future: Future) {
        if open.removeValue(forKey: ObjectIdentifier(future)) == nil { return }
        done.append(future)
        if open.isEmpty { stopTimer() }
        waiter?.wake()
    }

    private func timeIsOver() {
        timer = nil
        timeoutHit = true
        for (future, callback) in open.values { future.removeDoneCallback(callback) }
        open.removeAll()
        waiter?.wake()
    }

    private func stopTimer() {
        if let timer { loop.stopTimer(timer) }
        timer = nil
    }
}
