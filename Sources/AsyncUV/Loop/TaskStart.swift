internal import UVCore

/// How the first step of a new task comes to run.
@usableFromInline
enum TaskStart {
    case inNextTurn
    /// Its job is captured, and runs inside the initialiser.
    case eager
    /// The task is made on another thread.
    case outside
}

extension EventLoop {
    /// Eager first steps that may stand in one another; one more starts in the next turn, as any other task: the stack has an end.
    public static let maximumEagerDepth = 64

    /// Before the native task is made, which enqueues its job.
    func prepareStart(eager: Bool) -> TaskStart {
        if !isOwner {
            EventLoop.startsTaskFor.set(self)
            return .outside
        }
        guard eager && isCurrent && eagerDepth < EventLoop.maximumEagerDepth else { return .inNextTurn }
        capturesNextJob = true
        return .eager
    }

    func finishStart(_ start: TaskStart) {
        switch start {
        case .inNextTurn: return
        case .outside: EventLoop.startsTaskFor.set(nil)
        case .eager:
            guard let job = capturedJob.take() else { return }
            let outer = current
            current = nil
            eagerDepth += 1
            run(job, serial: false)
            leaveCurrent()
            eagerDepth -= 1
            current = outer
        }
    }
}
