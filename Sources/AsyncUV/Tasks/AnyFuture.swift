public import Synchronization

/// What can be awaited, cancelled and watched, without the type of its value: the base of ``Future`` and ``LoopTask``.
///
/// Bound to its loop. Reading `isDone` and `isCancelled`, awaiting and `cancel()` are possible from any thread and any loop; all else belongs to
/// the loop's thread.
public class AnyFuture: @unchecked Sendable {
    // Sendable, because `status` is atomic, what is read after it (error, value) is written before it, and all else is touched on the loop's thread only.

    enum Status { static let pending: UInt8 = 0, finished: UInt8 = 1, cancelled: UInt8 = 2 }

    /// The loop that it is bound to.
    public final let loop: EventLoop
    // Small ones together and behind the others: a task that sleeps is as large as what stands here and in its subclass.
    /// The failure, or the CancelledError, of a future that is done.
    private(set) final var storedError: (any Error)?
    /// Nothing that its methods call could come back here.
    @safe @exclusivity(unchecked)
    private final var waiters = Waiters.nobody
    @usableFromInline final let status = Atomic<UInt8>(0)
    /// Nobody has looked at the failure, and nobody else has taken it over. Atomic, because tasks of several threads may fetch it at once.
    final var reportsError: Bool {
        get { unfetched.load(ordering: .relaxed) }
        set { unfetched.store(newValue, ordering: .relaxed) }
    }
    private final let unfetched = Atomic<Bool>(false)
    /// A shield around it was cancelled: its error is reported as soon as it comes.
    final var lostShield = false

    init(loop: EventLoop) { self.loop = loop }

    deinit {
        if reportsError, let storedError { loop.report(unfetchedReport(storedError)) }
    }

    func unfetchedReport(_ error: any Error) -> LoopReport {
        LoopReport("the error of a future was never fetched", error: error)
    }

    // MARK: state

    /// It has a value or an error, or is cancelled: for good.
    @inlinable public final var isDone: Bool { status.load(ordering: .acquiring) != 0 }

    /// True if it ended by cancellation; never true of something that is not done.
    public final var isCancelled: Bool { status.load(ordering: .acquiring) == Status.cancelled }

    /// The error it ended with, a ``CancelledError`` included; nil if it has a value. Counts as fetching it.
    /// - Throws: `LoopError` `.invalidState` if it is not done.
    public final func error() throws -> (any Error)? {
        try requireDone("error()")
        reportsError = false
        return storedError
    }

    @usableFromInline
    final func requireDone(_ operation: String) throws {
        if !isDone { throw LoopError(.invalidState, operation, on: describedForErrors, "it is not done yet: await it, or look at isDone first") }
    }

    /// Throws the stored error, if it has one, and counts it as fetched. It must be done.
    @usableFromInline
    final func throwStoredError() throws {
        if let storedError {
            reportsError = false
            throw storedError
        }
    }

    var describedForErrors: String { "future" }

    // MARK: cancelling

    /// Asks it to end as cancelled. A plain future that is pending is cancelled when this returns; of a task it is a request
    /// (see ``LoopTask``). A future of another thread's loop gets the request in its loop's next turn.
    ///
    /// - Parameter message: arrives in ``CancelledError/message``.
    /// - Returns: false if it is known to be done, so that nothing was asked. Counts as fetching its error.
    @discardableResult
    public final func cancel(message: String? = nil, file: String = #fileID, line: Int = #line) -> Bool {
        requestCancel(
            CancelOrigin(
                .call, message: message, file: file, line: line, requester: EventLoop.current?.current?.taskName, turn: loop.turn))
    }

    @discardableResult
    final func requestCancel(_ origin: CancelOrigin) -> Bool {
        guard loop.isOwner else {
            if isDone { return false }
            return loop.inbox.post(.call { [self] in _ = cancelHere(origin) })
        }
        reportsError = false
        if isDone { return false }
        return cancelHere(origin)
    }

    /// On the loop's thread, pending or not. Subclasses say what a request does.
    func cancelHere(_ origin: CancelOrigin) -> Bool {
        complete(cancelled: CancelledError(origin))
    }

    // MARK: completing

    /// False if it was done already.
    ///
    /// - Parameter error: a CancelledError; not of that type, so that one that was thrown is kept as it is and not put into a new box.
    @discardableResult
    final func complete(cancelled error: any Error) -> Bool {
        if isDone { return false }
        storedError = error
        settle(Status.cancelled)
        return true
    }

    @discardableResult
    final func complete(failure error: any Error) -> Bool {
        if isDone { return false }
        storedError = error
        reportsError = true
        settle(Status.finished)
        return true
    }

    /// The value has been stored by the subclass, or there is none.
    @usableFromInline
    final func completeWithValue() { settle(Status.finished) }

    private final func settle(_ status: UInt8) {
        self.status.store(status, ordering: .releasing)
        var told = Waiters.nobody
        swap(&told, &waiters)
        told.schedule(self)
    }

    // MARK: waiting

    /// Calls `body` with this future when it is done: never at once, but as an entry of the next turn, in the order of registration.
    ///
    /// From another thread the registration is posted. An error that `body` throws goes to the loop's report handler.
    @discardableResult
    public final func addDoneCallback(_ body: @escaping @Sendable (AnyFuture) throws -> Void) -> DoneCallback {
        let callback = DoneCallback(body)
        if loop.isOwner {
            add(callback)
        } else if !loop.inbox.post(.call { [self] in add(callback) }) {
            loop.report(LoopReport("a done callback was added to a future of a closed loop: it will never run"))
        }
        return callback
    }

    /// As `addDoneCallback`, on the loop's thread: what the closure captures stays there.
    @discardableResult
    final func whenDone(_ body: @escaping (AnyFuture) throws -> Void) -> DoneCallback {
        let callback = DoneCallback(body)
        add(callback)
        return callback
    }

    /// Takes it back, if it was not scheduled yet. On the loop's thread.
    /// - Returns: false if it was scheduled, has run or was removed: a callback that is scheduled runs in the next turn.
    @discardableResult
    public final func removeDoneCallback(_ callback: DoneCallback) -> Bool {
        waiters.remove(callback)
    }

    final func add(_ callback: DoneCallback) {
        if isDone {
            loop.ready.append(.doneCallback(callback, self))
        } else {
            waiters.append(.callback(callback))
        }
    }

    final func addWaiter(_ task: AnyLoopTask) { waiters.append(.task(task)) }

    final var hasWaiters: Bool { !waiters.isEmpty }

    /// What this one waits for, or stands for: the edges along which a cycle of waits is looked for.
    var waitedFor: [AnyFuture] { [] }

    /// Suspends the caller until it is done; throws only what ends the wait itself, or a misuse.
    @usableFromInline
    final func waitUntilDone() async throws {
        if isDone { return }
        if let task = loop.callingTask {
            try await task.wait(for: self)
        } else {
            try await waitFromElsewhere()
        }
    }
}

/// A registration of ``AnyFuture/addDoneCallback(_:)``.
public final class DoneCallback: @unchecked Sendable {
    // Sendable: immutable; the body runs on the loop's thread only.
    let body: (AnyFuture) throws -> Void

    init(_ body: @escaping (AnyFuture) throws -> Void) { self.body = body }

    func run(_ future: AnyFuture) {
        do {
            try body(future)
        } catch {
            future.loop.report(LoopReport("error of a done callback", error: error))
        }
    }
}

/// Who is told when a future is done, in the order of registration; mostly nobody or one, and for these it is one pointer.
private enum Waiters {
    case nobody
    case task(AnyLoopTask)
    case callback(DoneCallback)
    /// Two or more, or what is left of so many. None of them is a `several`.
    case several([Waiters])

    var isEmpty: Bool {
        switch self {
        case .nobody: true
        case .several(let waiters): waiters.isEmpty
        case .task, .callback: false
        }
    }

    mutating func append(_ waiter: Waiters) {
        switch self {
        case .nobody: self = waiter
        case .task, .callback: self = .several([self, waiter])
        case .several(var waiters):
            // Out of the way first, or the array would be copied.
            self = .nobody
            waiters.append(waiter)
            self = .several(waiters)
        }
    }

    private func isCallback(_ callback: DoneCallback) -> Bool {
        if case .callback(let other) = self { return other === callback }
        return false
    }

    mutating func remove(_ callback: DoneCallback) -> Bool {
        if case .several(var waiters) = self {
            guard let index = waiters.firstIndex(where: { $0.isCallback(callback) }) else { return false }
            self = .nobody
            waiters.remove(at: index)
            self = .several(waiters)
            return true
        }
        guard isCallback(callback) else { return false }
        self = .nobody
        return true
    }

    func schedule(_ future: AnyFuture) {
        switch self {
        case .nobody: return
        case .task(let task): task.wake()
        case .callback(let callback): future.loop.ready.append(.doneCallback(callback, future))
        case .several(let waiters): for waiter in waiters { waiter.schedule(future) }
        }
    }
}

/// A future with a value: what `await`s, `shield`, `gather` and `wait` take.
public protocol Awaitable<Value>: AnyFuture {
    associatedtype Value: Sendable

    /// Suspends until it is done.
    ///
    /// - Cancellation: cancels what is awaited, and ends as that ends (asyncio's rule): use `shield` or `wait` to leave it running.
    var value: Value { get async throws }

    /// The value of one that is done.
    /// - Throws: its error; `LoopError` `.invalidState` if it is not done.
    func result() throws -> Value
}
