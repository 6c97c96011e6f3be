/// The time of a `withTimeout` was over.
public struct TimeoutError: Error, Sendable, CustomStringConvertible {
    /// When it was over, on the loop's clock.
    public let deadline: LoopInstant
    /// The cancellation that it was turned from, if the block was interrupted.
    public let cause: CancelledError?

    init(deadline: LoopInstant, cause: CancelledError?) {
        self.deadline = deadline
        self.cause = cause
    }

    public var description: String {
        guard let cause else { return "timed out at \(deadline)" }
        return "timed out at \(deadline), set at \(cause.origin.file):\(cause.origin.line)"
    }
}

/// A deadline around a block of code, while the block runs and after: see `withTimeout`. On the loop's thread.
public final class Timeout: @unchecked Sendable {
    // Sendable: touched on the loop's thread; other threads get `misuse`.

    /// A timeout's life. It fires at most once.
    public enum State: String, Sendable {
        /// The block has not begun.
        case created
        case active
        /// The deadline passed and the block was cancelled; it has not ended yet.
        case expiring
        case expired
        /// The block ended in time.
        case finished
    }

    public private(set) var state = State.created
    /// When it fires; nil: never.
    public private(set) var deadline: LoopInstant?

    private let task: AnyLoopTask
    private let file: String
    private let line: Int
    private var timer: LoopTimer?
    private var soon: Handle?
    private var request: CancelOrigin?
    /// Requests that were there when the block began, and that others answer for.
    private var baseline = 0

    init(task: AnyLoopTask, deadline: LoopInstant?, file: String, line: Int) {
        self.task = task
        self.deadline = deadline
        self.file = file
        self.line = line
    }

    /// The deadline has passed while the block ran, and the block was cancelled for it (whatever it made of that).
    public var isExpired: Bool { state == .expiring || state == .expired }

    /// Moves the deadline; nil: it will not fire. One that has passed fires in the next turn.
    /// - Throws: `LoopError` `.misuse` unless the timeout is active.
    public func reschedule(to deadline: LoopInstant?) throws {
        guard task.loop.isOwner else {
            throw LoopError.misuse("Timeout.reschedule", on: "task \(task.name)", "called on another thread; use loop.callSoonThreadsafe { … }")
        }
        guard state == .active else {
            throw LoopError.misuse("Timeout.reschedule", on: "task \(task.name)", "the timeout is \(state.rawValue): only an active one can be moved")
        }
        self.deadline = deadline
        schedule()
    }

    func enter() {
        state = .active
        // A cancel that was requested and not delivered before the block comes out of it as a cancellation, not as a timeout.
        baseline = task.cancelling() - (task.cancellation.pending == nil ? 0 : 1)
        schedule()
    }

    /// The error to throw in place of the block's, or nil.
    func leave(_ error: (any Error)?) -> (any Error)? {
        stop()
        guard state == .expiring, let request else {
            state = .finished
            return nil
        }
        state = .expired
        let remaining = task.cancellation.withdraw(request)
        guard remaining <= baseline, let cancelled = error as? CancelledError else { return nil }
        return TimeoutError(deadline: deadline ?? task.loop.now, cause: cancelled)
    }

    private func schedule() {
        stop()
        guard let deadline else { return }
        let loop = task.loop
        if deadline <= loop.now {
            let handle = Handle(loop: loop, threadsafe: false) { [self] in fire() }
            loop.ready.append(.handle(handle))
            soon = handle
        } else {
            timer = loop.startTimer(at: deadline, .call { [self] in fire() })
        }
    }

    private func stop() {
        soon?.cancel()
        soon = nil
        if let timer { task.loop.stopTimer(timer) }
        timer = nil
    }

    private func fire() {
        timer = nil
        soon = nil
        let origin = CancelOrigin(.timeout, message: nil, file: file, line: line, requester: nil, turn: task.loop.turn)
        request = origin
        task.requestCancel(origin)
        state = .expiring
    }
}

/// Runs `body` in the current task, under a deadline `duration` from now; nil: without one, until it is rescheduled.
///
/// When the time is over the task is cancelled, and the ``CancelledError`` that leaves `body` becomes ``TimeoutError``; if somebody else had cancelled the task too, it stays
/// a CancelledError. A body that never suspends after the deadline, or that refuses the cancellation, ends as it ends: look at ``Timeout/isExpired``.
/// Of nested timeouts that expire together the outermost throws.
///
/// The timer is stopped when the body ends: a million successful calls keep nothing.
///
/// - Cancellation: by others passes through unchanged.
/// - Throws: ``TimeoutError``; what `body` throws; `LoopError` `.misuse` outside a LoopTask.
public func withTimeout<Value>(
    _ duration: Duration?, file: String = #fileID, line: Int = #line, _ body: (Timeout) async throws -> Value
) async throws -> Value {
    let task = try taskForScope("withTimeout")
    let timeout = Timeout(task: task, deadline: duration.map { task.loop.now.advanced(by: max($0, .zero)) }, file: file, line: line)
    return try await run(timeout, body)
}

/// As `withTimeout`, for a body that does not look at its timeout.
///
/// - Cancellation, Throws: as there.
public func withTimeout<Value>(
    _ duration: Duration?, file: String = #fileID, line: Int = #line, _ body: () async throws -> Value
) async throws -> Value {
    try await withTimeout(duration, file: file, line: line) { _ in try await body() }
}

/// As `withTimeout(_:)`, until an instant of the loop's clock; one that has passed cancels at the first wait that suspends.
///
/// - Cancellation, Throws: as there.
public func withTimeout<Value>(
    until deadline: LoopInstant, file: String = #fileID, line: Int = #line, _ body: (Timeout) async throws -> Value
) async throws -> Value {
    try await run(Timeout(task: try taskForScope("withTimeout"), deadline: deadline, file: file, line: line), body)
}

/// As `withTimeout(until:)`, for a body that does not look at its timeout.
///
/// - Cancellation, Throws: as there.
public func withTimeout<Value>(
    until deadline: LoopInstant, file: String = #fileID, line: Int = #line, _ body: () async throws -> Value
) async throws -> Value {
    try await withTimeout(until: deadline, file: file, line: line) { _ in try await body() }
}

private func run<Value>(_ timeout: Timeout, _ body: (Timeout) async throws -> Value) async throws -> Value {
    timeout.enter()
    do {
        let value = try await body(timeout)
        _ = timeout.leave(nil)
        return value
    } catch {
        throw timeout.leave(error) ?? error
    }
}

/// The LoopTask that opens a scope; scopes act on their task, so there is no stand-in for one.
func taskForScope(_ operation: String) throws -> AnyLoopTask {
    let loop = try EventLoop.requireCurrent(operation)
    guard let task = loop.callingTask else {
        throw LoopError.misuse(operation, "it acts on the LoopTask around it, and this is a plain task or a callback: start a LoopTask { … } for it")
    }
    return task
}
