internal import Synchronization
internal import UVCore

// How a loop ends: its tasks, then the output of theirs that is not out yet, then its posts, then its handles.
extension EventLoop {
    private func cancelForShutdown(_ task: AnyLoopTask) {
        task.requestCancel(CancelOrigin(.shutdown, message: "the event loop shuts down", file: task.file, line: task.line, requester: nil, turn: turn))
    }

    /// Cancels every unfinished task once, those that are born meanwhile too, and runs until all are done; says who refuses for longer than `grace`.
    ///
    /// - Returns: the tasks that were still not done when the grace was over.
    @discardableResult
    func cancelAllAndRun(grace: Duration) throws -> [AnyLoopTask] {
        let deadline = now.advanced(by: grace)
        let refusing = try cancelUnfinished(until: deadline)
        try finishWork(until: deadline)
        return refusing
    }

    private func cancelUnfinished(until deadline: LoopInstant) throws -> [AnyLoopTask] {
        if unfinished.count == 0 { return [] }
        isShuttingDown = true
        defer { isShuttingDown = false }
        for task in unfinishedTasks { cancelForShutdown(task) }
        var isOver = false
        let timer = startTimer(
            at: deadline,
            .call { [unowned self] in
                isOver = true
                stopRequested = true
            })
        defer { stopTimer(timer) }
        var end = RunEnd.stopped
        // Not ended by a `stop()`, whoever called it, and when: that ends runs, not the cleaning up.
        while end == .stopped && !isOver && unfinished.count > 0 { end = try drive(untilIdle: clock == .virtual) }
        let left = unfinishedTasks
        for task in left {
            report(
                LoopReport(
                    end == .idle
                        ? "a task that was cancelled at shutdown waits for something that can never happen"
                        : "a task refuses its cancellation at shutdown",
                    task: task.name, created: "\(task.file):\(task.line)"))
        }
        return left
    }

    /// In what is left of the grace, one after the other. What was not done by then is told to stop.
    private func finishWork(until deadline: LoopInstant) throws {
        if atEndOfLoop.isEmpty { return }
        let work = atEndOfLoop
        atEndOfLoop = []
        let task = LoopTask(name: "end of the loop", on: self) {
            for part in work { await part.loopEnds() }
        }
        let timer = startTimer(at: deadline, .call { [self] in cancelForShutdown(task) })
        defer { stopTimer(timer) }
        task.addDoneCallback { [self] _ in stopRequested = true }
        // As above; it obeys its cancellation.
        while !task.isDone { if try drive(untilIdle: clock == .virtual) == .idle { break } }
    }

    /// A task that is born while the others end: it gets as far as its first wait, like everyone else who is cancelled there.
    func cancelAfterFirstStep(_ task: AnyLoopTask) {
        ready.append(.call { [self] in ready.append(.call { [self] in cancelForShutdown(task) }) })
    }

    /// Cancels what is unfinished and waits for it up to `grace`, writes out what the standard streams hold, refuses posts from then on, closes every handle and awaits its close. Idempotent.
    ///
    /// Plain tasks, and tasks of other loops, that wait for a future of it get `LoopError` `.closed`.
    ///
    /// - Parameter grace: on the loop's own clock; zero or less gives every task one turn.
    /// - Returns: what others had left open, by libuv's type name.
    /// - Throws: `LoopError` `.misuse` while the loop runs, or on another thread than its owner's.
    @discardableResult
    public func close(grace: Duration = .seconds(10)) throws -> [String: Int] {
        if isClosed { return [:] }
        guard isOwner, EventLoop.current == nil else {
            throw LoopError.misuse("close", on: description, isRunning ? "it is running: stop it first" : "called on another thread, or inside a running loop")
        }
        return closeNow(abandoning: try cancelAllAndRun(grace: grace))
    }

    /// Closes a loop whose tasks have ended, but for those that refused to.
    @discardableResult
    func closeNow(abandoning refusing: [AnyLoopTask]) -> [String: Int] {
        // What was posted before this is taken, what comes later is refused.
        inbox.close()
        drainInbox()
        for task in refusing { task.abandon() }
        // Tasks that came with the last posts never begin.
        for task in unfinishedTasks { cancelForShutdown(task) }
        runLastTurns()
        // What is left has been announced, and its start came too late to be accepted; or it refuses like those before.
        for task in unfinishedTasks { task.abandon() }
        for (_, future) in outsideWaits.sorted(by: { $0.key < $1.key }) { future.failClosed() }
        runLastTurns()
        return closeHandles()
    }

    /// Turns outside of a run, for the callbacks of what ended with the loop.
    private func runLastTurns() {
        beginRunning()
        for _ in 0..<EventLoop.maximumTurnsBetweenPolls where !ready.isEmpty { runTurn() }
        endRunning()
    }

    @discardableResult
    func closeHandles() -> [String: Int] {
        inbox.close()
        // From here on the loop refuses: what is let go of below may call it once more, from its deinit.
        life.store(Life.closed, ordering: .releasing)
        timers.close()
        for timer in timerPool { timers.dispose(timer) }
        timerPool.removeAll()
        var left: [String: Int] = [:]
        if let uv {
            left = uv.openHandles()
            left["async"] = left["async"].flatMap { $0 > 1 ? $0 - 1 : nil }
            uv.closeAllHandles()
            while !uv.close() { uv.run(.once) }
        }
        uv = nil
        // Let go of outside the queue, which must not be changed while it is looked at.
        var dropped: [ReadyEntry] = []
        while let entry = ready.popFirst() { dropped.append(entry) }
        reportJobs(in: dropped)
        return left
    }

    /// Plain Swift tasks that were about to go on here, and never will.
    private func reportJobs(in dropped: [ReadyEntry]) {
        var jobs = 0
        for entry in dropped {
            switch entry {
            case .taskJob, .serialJob: jobs += 1
            default: continue
            }
        }
        if jobs > 0 { report(LoopReport("\(jobs) tasks were about to go on when their event loop was closed: they never will")) }
    }
}

/// Who has something to finish when a loop closes, after its tasks and before its handles.
protocol EndOfLoopWork: AnyObject, Sendable {
    /// Obeys its cancellation, which says that the time is up.
    func loopEnds() async
}
