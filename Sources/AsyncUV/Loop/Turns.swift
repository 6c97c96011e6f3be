internal import Synchronization
internal import UVCore

// What a loop does while it runs: poll, then turns, until it is stopped.
extension EventLoop {
    func drive(untilIdle: Bool) throws -> RunEnd {
        let uv = try enter()
        defer { leave() }
        repeat {
            if !poll(uv, untilIdle: untilIdle) { return .idle }
            let began = UVLoop.hrtime()
            var turns = 0
            repeat {
                runTurn()
                turns += 1
            } while !ready.isEmpty && !stopRequested && turns < EventLoop.maximumTurnsBetweenPolls
                && UVLoop.hrtime() &- began < EventLoop.pollNanoseconds
        } while !stopRequested
        return .stopped
    }

    func requireRunnable() throws {
        if let other = EventLoop.current {
            throw LoopError.misuse("run", on: description, other === self ? "it is running already" : "\(other) runs on this thread")
        }
    }

    private func enter() throws -> UVLoop {
        try requireRunnable()
        guard life.compareExchange(expected: Life.open, desired: Life.running, ordering: .acquiringAndReleasing).exchanged, let uv else {
            if isClosed { throw LoopError(.closed, "run", on: description, "the loop is closed") }
            throw LoopError.misuse("run", on: description, "it is running on another thread")
        }
        ownerThread.store(ThisThread.id, ordering: .relaxed)
        beginRunning()
        return uv
    }

    private func leave() {
        stopRequested = false
        endRunning()
        life.store(Life.open, ordering: .releasing)
    }

    /// Looks for I/O, posts and timers, and waits for them if nothing is ready. False: idle, and that is what was asked for.
    private func poll(_ uv: UVLoop, untilIdle: Bool) -> Bool {
        if !ready.isEmpty || stopRequested {
            uv.run(.noWait)
            return true
        }
        if clock == .system && !untilIdle {
            timers.collectDue(timerIsDue)
            uv.run(hasWork ? .noWait : .once)
            return true
        }
        uv.run(.noWait)
        timers.collectDue(timerIsDue)
        if hasWork { return true }
        if outstanding > 0 || (networkWaits > 0 && network.isOutside) || suspended.count + foreignCalls > plainWaiters {
            // Something outside will wake us. A foreign await that in turn waits for this loop (a child task that sleeps here) is not outside.
            uv.run(.once)
        } else if timers.armed > 0 {
            if !timers.jump() { uv.run(.once) }
        } else if untilIdle && suspended.isEmpty && foreignCalls == 0 && plainWaiters == 0 {
            return false
        } else {
            uv.run(.once)
        }
        return true
    }

    private var hasWork: Bool { !ready.isEmpty || !dueTimers.isEmpty }

    func runTurn() {
        timers.collectDue(timerIsDue)
        if !dueTimers.isEmpty { appendDueTimers() }
        turns.store(turn &+ 1, ordering: .relaxed)
        var left = ready.count
        while left > 0, let entry = ready.popFirst() {
            left -= 1
            execute(entry)
        }
        if !atEndOfTurn.isEmpty { endTurn() }
    }

    private func endTurn() {
        // Out of the way first: what is let go of here may ask for the end of the next turn.
        swap(&atEndOfTurn, &endingTurn)
        for work in endingTurn { work.turnEnded() }
        endingTurn.removeAll(keepingCapacity: true)
    }

    private func execute(_ entry: consuming ReadyEntry) {
        switch consume entry {
        case .wake(let task): resume(task)
        case .taskJob(let job): runForeign(job, serial: false)
        case .serialJob(let job): runForeign(job, serial: true)
        case .timer(let timer): fire(timer)
        case .handle(let handle): handle.run()
        case .doneCallback(let callback, let future): callback.run(future)
        case .call(let body), .immediate(let body): body()
        }
    }

    /// Resumes a task of ours: its continuation enqueues its job, which is taken as a hop and runs here.
    private func resume(_ task: AnyLoopTask) {
        guard let resumption = task.resumption.take() else { return }
        task.undo = .none
        task.cancellation.resume()
        runningJob = task.nativeID
        // Not `consume task`: of Swift 6.3 the thread sanitizer takes that for a write to the object, and calls what other threads read of it a race.
        current = task
        resumption.resume()
        runHops()
        runningJob = .none
        leaveCurrent()
    }

    /// A job that did not come from a wake-up of ours: a first step, a plain task, or a task of ours that comes back from foreign code.
    private func runForeign(_ job: UnownedJob, serial: Bool) {
        if !suspended.isEmpty, let task = suspended.take(NativeTaskID(job)) {
            task.cancellation.resume()
            current = task
        }
        run(job, serial: serial)
        leaveCurrent()
    }

    /// The code of the current task has left the thread. If it is neither parked nor done, it waits in foreign code.
    func leaveCurrent() {
        guard let task = current.take() else { return }
        guard task.cancellation.phase == .running else { return }
        task.cancellation.enterForeign()
        suspended.keep(task)
        if task.cancellation.pending != nil { task.nativeID.cancel() }
    }

    func drainInbox() {
        inbox.drain { entry in
            if case .immediate(let body) = entry { body() } else { ready.append(entry) }
        }
    }
}

/// Who has something to do when a turn has run.
protocol EndOfTurnWork: AnyObject {
    func turnEnded()
}
