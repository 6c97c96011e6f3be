internal import UVCore

/// What went wrong, with the operation and what it was tried on. Prints `connect 127.0.0.1:80: connection refused (ECONNREFUSED)`.
///
/// Cancellation is never wrapped in it: see ``CancelledError``.
public struct LoopError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of error it is. More codes may be added: switch with a `default`.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        public let description: String
        private init(_ name: String) { description = name }

        /// The program did what the call's documentation rules out; the detail says what to do instead.
        public static let misuse = Code("misuse")
        /// A future that is done already, or not done yet.
        public static let invalidState = Code("invalid state")
        /// It was closed by this side: the loop, the listener, the stream.
        public static let closed = Code("closed")
        /// Another task is in the same operation.
        public static let busy = Code("busy")
        /// The other side is gone, or broke the connection off.
        public static let connectionLost = Code("connection lost")
        /// The stream ended in the middle of what was to be read.
        public static let unexpectedEnd = Code("unexpected end of stream")
        /// More than the limit that was given with the call.
        public static let limitExceeded = Code("limit exceeded")
        /// A datagram that was sent earlier came back. The socket is as good as before.
        public static let undelivered = Code("undelivered")
        /// The system refused; `systemCode` says why.
        public static let system = Code("system")
        /// Not an address, or not one that can be used for this.
        public static let invalidAddress = Code("invalid address")
        /// There is no such name, or it has no address of the kind that was asked for.
        public static let nameNotFound = Code("name not found")
        /// It could not be found out; later it may be possible.
        public static let temporaryFailure = Code("temporary failure")
        /// The time that was given for it is over. The error of `withTimeout` is a ``TimeoutError``.
        public static let timedOut = Code("timed out")
        /// A bounded queue has no room.
        public static let queueFull = Code("queue full")
        /// A queue has no item.
        public static let queueEmpty = Code("queue empty")
        /// The queue takes no more items, and has none left.
        public static let queueShutDown = Code("queue shut down")
        /// The barrier was reset or aborted.
        public static let brokenBarrier = Code("broken barrier")
        /// Nothing can ever run again, and what was waited for is not done.
        public static let deadlock = Code("deadlock")
        /// The loop was stopped before what was waited for was done.
        public static let stopped = Code("stopped")
        /// The process got SIGINT (or another signal that `EventLoop.run` was told to watch), and the main task obeyed.
        public static let interrupted = Code("interrupted")
    }

    public var code: Code
    /// What was tried: `connect`, `Lock.release`, …
    public var operation: String
    /// What it was tried on: an address, a task's name; empty where there is nothing to name.
    public var subject: String
    /// What happened, and what to do about it.
    public var detail: String
    /// The system's error number, positive, as in errno(3); nil if the system was not involved.
    public var systemCode: Int32?

    public init(_ code: Code, _ operation: String, on subject: String = "", _ detail: String = "", systemCode: Int32? = nil) {
        self.code = code
        self.operation = operation
        self.subject = subject
        self.detail = detail
        self.systemCode = systemCode
    }

    /// From what the fence reports. Lost peers get their own code, whichever errno the system chose for them.
    init(_ error: UVError, _ operation: String, on subject: String = "", advice: String = "") {
        let code: Code
        switch error.name {
        // ENOTCONN: what shutdown(2) says after a reset. Unreachable: what a connection ends with when no answer comes any more.
        case "ECONNRESET", "EPIPE", "ECONNABORTED", "ETIMEDOUT", "ENOTCONN", "EHOSTUNREACH", "ENETUNREACH", "ENETDOWN": code = .connectionLost
        case "ECANCELED": code = .closed
        default: code = .system
        }
        let detail = "\(error.message) (\(error.name))" + (advice.isEmpty ? "" : "; \(advice)")
        self.init(code, operation, on: subject, detail, systemCode: -error.code)
    }

    static func misuse(_ operation: String, on subject: String = "", _ detail: String) -> LoopError {
        LoopError(.misuse, operation, on: subject, detail)
    }

    public var description: String {
        let what = subject.isEmpty ? operation : "\(operation) \(subject)"
        return detail.isEmpty ? "\(what): \(code)" : "\(what): \(detail)"
    }
}
