/// Thrown at the wait of a ``LoopTask`` that was cancelled: once for each delivered request. Catch it to clean up, and throw it on; to
/// refuse, return or go on (and call ``AnyLoopTask/uncancel()`` if the refusal is meant to be final).
///
/// Plain Swift tasks get Swift's own `CancellationError` instead.
public struct CancelledError: Error, Sendable, CustomStringConvertible {
    /// Who asked, where and why.
    public let origin: CancelOrigin

    /// The request's message, if it came with one.
    public var message: String? { origin.message }

    /// To throw by hand: a task whose body throws it ends cancelled, whether anybody had asked or not.
    public init(message: String? = nil, file: String = #fileID, line: Int = #line) {
        origin = CancelOrigin(.thrown, message: message, file: file, line: line, requester: nil, turn: 0)
    }

    init(_ origin: CancelOrigin) { self.origin = origin }

    public var description: String { "cancelled by \(origin)" }
}

/// One request for cancellation.
public final class CancelOrigin: Sendable, CustomStringConvertible {
    /// What made the request.
    public enum Kind: String, Sendable {
        /// A call of `cancel()`.
        case call = "cancel()"
        /// A timeout whose deadline passed.
        case timeout
        /// A task group that aborts.
        case taskGroup = "task group"
        /// `EventLoop.run`, which cancels what still runs when its main task has ended, or a loop that closes.
        case shutdown
        /// A signal that `EventLoop.run` watches.
        case signal
        /// Native cancellation of a plain Swift task that was waiting for this one.
        case native = "native cancellation"
        /// Nobody: the error was thrown by hand.
        case thrown = "throw"
    }

    /// What made the request.
    public let kind: Kind
    /// What `cancel(message:)` was given.
    public let message: String?
    /// `#fileID` of the call that made the request, and its line.
    public let file: String
    public let line: Int
    /// The name of the LoopTask that made the request; nil if it came from a callback, another thread or the loop itself.
    public var requester: String? { requesterName?.description }
    /// The turn of the target's loop in which the request was made.
    public let turn: UInt64

    let requesterName: TaskName?

    init(_ kind: Kind, message: String?, file: String, line: Int, requester: TaskName?, turn: UInt64) {
        self.kind = kind
        self.message = message
        self.file = file
        self.line = line
        requesterName = requester
        self.turn = turn
    }

    public var description: String {
        var text = kind.rawValue
        if let requester { text += " of task \(requester)" }
        text += " at \(file):\(line)"
        if let message { text += ": \(message)" }
        return text
    }
}

/// A task's name; the default one is put together only when somebody looks.
struct TaskName: Sendable, CustomStringConvertible {
    var given: String?
    var number: UInt64

    var description: String { given ?? "Task-\(number)" }
}
