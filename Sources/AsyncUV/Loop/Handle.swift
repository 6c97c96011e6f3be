internal import UVCore

/// A callback that was given to a loop, and the way to take it back.
///
/// A handle of ``EventLoop/callSoonThreadsafe(_:)`` may be used from any thread: `cancel()` and `isCancelled` wait there while the
/// callback is running, and do not wait on the loop's own thread.
public class Handle: @unchecked Sendable {
    enum State { case waiting, running, done, cancelled }

    /// The loop that runs it.
    public final let loop: EventLoop
    private final var body: (() throws -> Void)?
    private final var state = State.waiting
    /// Only on handles that other threads hold: held while the callback runs.
    private final let lock: RecursiveThreadLock?

    init(loop: EventLoop, threadsafe: Bool, _ body: @escaping () throws -> Void) {
        self.loop = loop
        self.body = body
        lock = threadsafe ? RecursiveThreadLock() : nil
    }

    /// The callback will not run, unless it already did or is running; what it captured is let go. Idempotent.
    public func cancel() {
        guarded {
            if state == .waiting {
                state = .cancelled
                body = nil
            }
        }
    }

    /// It was taken back before it ran.
    public final var isCancelled: Bool { guarded { state == .cancelled } }

    final func run() {
        guarded {
            guard state == .waiting, let body else { return }
            self.body = nil
            state = .running
            defer { state = .done }
            do {
                try body()
            } catch {
                loop.report(LoopReport("error of a callback", error: error))
            }
        }
    }

    private final func guarded<Result>(_ body: () -> Result) -> Result {
        guard let lock else { return body() }
        return lock.withLock(body)
    }
}

/// A callback at a time.
public final class TimerHandle: Handle, @unchecked Sendable {
    /// When it is due, on the loop's clock.
    public let when: LoopInstant
    private var timer: LoopTimer?

    init(loop: EventLoop, when: LoopInstant, _ body: @escaping () throws -> Void) {
        self.when = when
        super.init(loop: loop, threadsafe: false, body)
    }

    func start() { timer = loop.startTimer(at: when, .handle(self)) }

    /// As ``Handle/cancel()``; the timer is stopped when this returns. On the loop's thread; from another it is posted.
    public override func cancel() {
        guard loop.isOwner else {
            // Refused only by a closed loop, whose timers are gone.
            _ = loop.inbox.post(.call { self.cancel() })
            return
        }
        super.cancel()
        if let timer { loop.stopTimer(timer) }
        timer = nil
    }
}

extension EventLoop {
    /// Runs `body` in the next turn, after everything that is ready now. On the loop's thread only: what the closure captures stays there.
    ///
    /// An error that `body` throws goes to the loop's report handler.
    /// - Throws: `LoopError` `.closed` if the loop is closed, `.misuse` on another thread.
    @discardableResult
    public func callSoon(_ body: @escaping () throws -> Void) throws -> Handle {
        if isClosed { throw LoopError(.closed, "callSoon", on: description, "the loop is closed") }
        guard isOwner else {
            throw LoopError.misuse("callSoon", on: description, "called on another thread; use callSoonThreadsafe")
        }
        let handle = Handle(loop: self, threadsafe: false, body)
        ready.append(.handle(handle))
        return handle
    }

    /// Runs `body` after `delay`, rounded up to whole milliseconds by the system clock; zero or less is due in the next turn, after what
    /// is ready now. Equal deadlines fire first in, first out. On the loop's thread only.
    /// - Throws: `LoopError` `.closed` if the loop is closed, `.misuse` on another thread.
    @discardableResult
    public func callLater(_ delay: Duration, _ body: @escaping () throws -> Void) throws -> TimerHandle {
        try requireTimerCaller("callLater")
        return try callAt(now.advanced(by: max(delay, .zero)), body)
    }

    /// Runs `body` at an instant of this loop's clock; one that has passed is due in the next turn. See ``callLater(_:_:)``.
    /// - Throws: as ``callLater(_:_:)``.
    @discardableResult
    public func callAt(_ when: LoopInstant, _ body: @escaping () throws -> Void) throws -> TimerHandle {
        try requireTimerCaller("callAt")
        let handle = TimerHandle(loop: self, when: when, body)
        handle.start()
        return handle
    }

    private func requireTimerCaller(_ operation: String) throws {
        if isClosed { throw LoopError(.closed, operation, on: description, "the loop is closed") }
        guard isOwner else {
            throw LoopError.misuse(operation, on: description, "called on another thread; use callSoonThreadsafe { loop.\(operation)(…) }")
        }
    }

    /// Hands `body` to the loop from any thread, and wakes it. Posts of one thread run in their order.
    ///
    /// - Throws: `LoopError` `.closed` if the loop is closed; then `body` never runs.
    @discardableResult
    public func callSoonThreadsafe(_ body: @escaping @Sendable () throws -> Void) throws -> Handle {
        let handle = Handle(loop: self, threadsafe: true, body)
        guard inbox.post(.handle(handle)) else {
            throw LoopError(.closed, "callSoonThreadsafe", on: description, "the loop is closed")
        }
        return handle
    }
}
