internal import UVCore

// Writing past the queue: what the system must be given by a call of its own, in its place among the other writes.

enum DirectStep {
    case done
    /// More can be done: when what it has queued is with the system, if it has queued something, otherwise in the next turn.
    case goOn
    /// The socket has no room.
    case blocked
}

extension StreamCore {
    /// Waits until everything that was admitted before is with the system, and calls `step` until it is done, with waits in between; other writes wait meanwhile.
    func writeDirectly(_ operation: String, by task: AnyLoopTask, _ step: (any StreamTransport) throws -> DirectStep) async throws {
        var watch: UVPoll?
        writers.append(task)
        defer {
            watch?.close()
            leaveWriters(task)
        }
        while true {
            try requireWritable(operation)
            if writers.first === task && pending == 0, let transport {
                switch try step(transport) {
                case .done: return
                case .goOn:
                    // Otherwise what is queued, or the process's budget, wakes this task; unless the stream was closed to make room.
                    if phase != .open { continue }
                    if pending == 0 && charge?.isWaiting != true {
                        await task.parkForOneTurn()
                        try task.throwIfInterrupted()
                        continue
                    }
                case .blocked:
                    do {
                        let poll: UVPoll
                        if let watch {
                            poll = watch
                        } else {
                            poll = try UVPoll(loop: loop.openUV(operation), duplicating: transport.descriptor) { [unowned self] _ in tellDirectWriter(task) }
                            watch = poll
                        }
                        try poll.start(.writable)
                    } catch {
                        throw LoopError(error, operation, on: "\(peer)")
                    }
                }
            }
            loop.outstanding += 1
            await task.park(.leave)
            loop.outstanding -= 1
            watch?.stop()
            try task.throwIfInterrupted()
        }
    }

    private func tellDirectWriter(_ task: AnyLoopTask) {
        if writers.first === task { task.wake() }
    }

    /// What a call of its own has found out about the connection, as `tryNow` does for a write.
    func writeFailed(_ error: UVError, _ operation: String) -> LoopError {
        switch error.name {
        case "EPIPE", "ECONNRESET", "ENOTCONN", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "ENETDOWN", "ECONNABORTED": fail(error)
        default: break
        }
        return LoopError(error, operation, on: "\(peer)")
    }
}
