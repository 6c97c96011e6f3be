extension LoopTask where Success == Never {
    /// Awaits all of `futures`, and gives back their values in the order of the argument. One that is given twice is awaited once and reported twice.
    ///
    /// The first error ends the wait; the others run on, and their errors count as fetched.
    ///
    /// - Cancellation: cancels all that are not done, and ends when all have ended.
    /// - Throws: the first error in time, of a future that was cancelled its ``CancelledError``; `LoopError` `.misuse` if the loops differ.
    public static func gather<Future: Awaitable>(_ futures: [Future]) async throws -> [Future.Value] {
        guard let loop = try commonLoop(of: futures, "LoopTask.gather") else { return [] }
        guard let task = loop.callingTask else {
            return try await bridged("LoopTask.gather", on: loop) { try await gather(futures) }
        }
        let gathering = Gathering(futures, loop: loop, collectsErrors: false)
        if !gathering.isDone { try await task.wait(for: gathering) }
        try gathering.throwStoredError()
        return try futures.map { try $0.result() }
    }

    /// As `gather`, with every outcome as a value: an error does not end the wait.
    ///
    /// - Cancellation: cancels all that are not done, and when all have ended throws all the same.
    /// - Throws: ``CancelledError``; `LoopError` `.misuse` if the loops differ.
    public static func gatherResults<Future: Awaitable>(_ futures: [Future]) async throws -> [Result<Future.Value, any Error>] {
        guard let loop = try commonLoop(of: futures, "LoopTask.gatherResults") else { return [] }
        guard let task = loop.callingTask else {
            return try await bridged("LoopTask.gatherResults", on: loop) { try await gatherResults(futures) }
        }
        let gathering = Gathering(futures, loop: loop, collectsErrors: true)
        if !gathering.isDone { try await task.wait(for: gathering) }
        try gathering.throwStoredError()
        return futures.map { future in Result { try future.result() } }
    }

    /// Awaits futures of different types: `let (user, orders) = try await LoopTask.gather(a, b)`.
    ///
    /// - Cancellation, Throws: as with an array.
    public static func gather<each Future: Awaitable>(_ future: repeat each Future) async throws -> (repeat (each Future).Value) {
        var futures: [AnyFuture] = []
        repeat futures.append(each future)
        if let loop = try commonLoop(of: futures, "LoopTask.gather") {
            try await waitForAll(futures, loop)
        }
        return (repeat try (each future).result())
    }

    private static func waitForAll(_ futures: [AnyFuture], _ loop: EventLoop) async throws {
        guard let task = loop.callingTask else {
            return try await bridged("LoopTask.gather", on: loop) { try await waitForAll(futures, loop) }
        }
        let gathering = Gathering(futures, loop: loop, collectsErrors: false)
        if !gathering.isDone { try await task.wait(for: gathering) }
        try gathering.throwStoredError()
    }
}

/// Nil if there are no futures.
func commonLoop(of futures: [AnyFuture], _ operation: String) throws -> EventLoop? {
    guard let loop = futures.first?.loop else { return nil }
    for future in futures where future.loop !== loop {
        throw LoopError.misuse(operation, on: future.describedForErrors, "the futures belong to different loops: gather those of each loop there")
    }
    return loop
}

/// What the caller of `gather` waits for. Cancelling it cancels the children, and it is done when they are.
private final class Gathering: AnyFuture, @unchecked Sendable {
    // Sendable as AnyFuture: touched on its loop's thread.
    private let children: [AnyFuture]
    private let collectsErrors: Bool
    private var unfinished = 0
    private var cancelRequested = false

    override var waitedFor: [AnyFuture] { isDone ? [] : children }

    init(_ futures: [AnyFuture], loop: EventLoop, collectsErrors: Bool) {
        children = futures
        self.collectsErrors = collectsErrors
        super.init(loop: loop)
        var seen: Set<ObjectIdentifier> = []
        let distinct = futures.filter { seen.insert(ObjectIdentifier($0)).inserted }
        unfinished = distinct.count
        for child in distinct where !child.isDone {
            child.whenDone { [self] child in ended(child) }
        }
        for child in distinct where child.isDone { ended(child) }
    }

    override func cancelHere(_ origin: CancelOrigin) -> Bool {
        if children.allSatisfy(\.isDone) { return false }
        cancelRequested = true
        loop.requestCancel(of: children, origin)
        return true
    }

    private func ended(_ child: AnyFuture) {
        unfinished -= 1
        // Whoever gathers has taken over the errors, the ones that come too late included.
        child.reportsError = false
        if isDone { return }
        if !collectsErrors, let error = child.storedError {
            fail(error)
        } else if unfinished == 0 {
            if cancelRequested {
                // Whatever the children made of it, the gathering was cancelled.
                fail(child.storedError as? CancelledError ?? CancelledError(message: "gather was cancelled"))
            } else {
                completeWithValue()
            }
        }
    }

    private func fail(_ error: any Error) {
        complete(failure: error)
        reportsError = false
    }
}

extension EventLoop {
    /// Cancels `futures` one after the other, each with all that it carries the request to, as calls in one another would. They are not: gathers of tasks that gather
    /// may be more than the stack is deep.
    fileprivate func requestCancel(of futures: [AnyFuture], _ origin: CancelOrigin) {
        for future in futures.reversed() { cancelWork.append((future, origin)) }
        if carriesCancels { return }
        carriesCancels = true
        while let (future, origin) = cancelWork.popLast() { future.requestCancel(origin) }
        carriesCancels = false
    }
}
