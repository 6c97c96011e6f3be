internal import UVCore

/// Something that nobody was there to catch: an error of a callback, an error of a task that nobody fetched, a stream that nobody closed.
public struct LoopReport: Sendable, CustomStringConvertible {
    /// What happened.
    public var message: String
    /// The error that nobody caught, if it is about one.
    public var error: (any Error)?
    /// The name of the task it is about.
    public var task: String?
    /// Where what it is about was created: `file:line`.
    public var created: String?

    public init(_ message: String, error: (any Error)? = nil, task: String? = nil, created: String? = nil) {
        self.message = message
        self.error = error
        self.task = task
        self.created = created
    }

    /// One line.
    public var description: String {
        var line = message
        if let task { line += " [task \(task)]" }
        if let created { line += " [created at \(created)]" }
        if let error { line += ": \(error)" }
        return line.replacing("\n", with: " | ")
    }
}

extension EventLoop {
    /// Gives a report to the loop's handler; to stderr where there is none, or where the handler itself throws. Callable from any thread.
    func report(_ report: LoopReport) {
        let handler = reportLock.withLock { reportHandler }
        guard let handler else {
            EventLoop.writeToStandardError(report)
            return
        }
        do {
            try handler(report)
        } catch {
            EventLoop.writeToStandardError(report)
            EventLoop.writeToStandardError(LoopReport("the loop's report handler threw", error: error))
        }
    }

    /// Is called with what nobody was there to catch, on whichever thread it happened; nil brings back the default, a line on stderr.
    ///
    /// A handler that throws has its error and the report written to stderr; neither stops the loop.
    public func setReportHandler(_ handler: (@Sendable (LoopReport) throws -> Void)?) {
        // The old one is let go of outside the lock: what it holds may have something to report when it goes.
        let old = reportLock.withLock {
            let old = reportHandler
            reportHandler = handler
            return old
        }
        _ = consume old
    }

    static func writeToStandardError(_ report: LoopReport) {
        StandardError.write("AsyncUV: \(report)\n")
    }
}
