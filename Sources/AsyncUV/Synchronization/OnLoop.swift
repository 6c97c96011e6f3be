extension EventLoop {
    /// For operations that change something and cannot wait: they belong to the loop's thread.
    @usableFromInline
    func requireOwner(_ operation: String) throws {
        guard isOwner else {
            throw LoopError.misuse(operation, "called on another thread than its loop's; use loop.callSoonThreadsafe { … }")
        }
    }

    /// What a scope gives back on its way out, when its task is on another thread by now: in the loop's next turn. Posts keep their order, so that the
    /// next acquire of the same task comes after it.
    func postGivingBack(_ operation: String, _ body: @escaping @Sendable () throws -> Void) {
        // A closed loop refuses: then nobody is left whom it could be given back to.
        _ = inbox.post(
            .call { [self] in
                do {
                    try body()
                } catch {
                    report(LoopReport("\(operation), posted by a task on another thread, failed", error: error))
                }
            })
    }
}

extension WaitList {
    /// False if whoever woke it has taken it out. Only for a task that can be in no other list.
    func holds(_ task: AnyLoopTask) -> Bool { task.previousWaiter != nil || first === task }

    /// Somebody in it still has a claim: waits, or was woken and has not run yet. Who was cancelled has none.
    var hasClaims: Bool {
        var found = false
        forEach { task in
            found = !task.isInterrupted
            return !found
        }
        return found
    }

    /// The first that nothing has woken yet.
    var firstWaiting: AnyLoopTask? {
        var found: AnyLoopTask?
        forEach { task in
            if task.isWaiting { found = task }
            return found == nil
        }
        return found
    }

    /// Wakes up to `limit` of those that nothing has woken yet, in order.
    func wake(upTo limit: Int = .max) {
        if limit <= 0 { return }
        var left = limit
        forEach { task in
            if task.isWaiting {
                task.wake()
                left -= 1
            }
            return left > 0
        }
    }
}
