internal import UVCore

/// A timer that was started: one run of a pooled slot. When that run is over the slot may be anybody's, so that who holds a `LoopTimer` for longer can do no harm with it.
struct LoopTimer {
    let slot: TimerSlot
    fileprivate let sequence: UInt64

    /// This run is not over, and libuv says that it would fire.
    var isActive: Bool { slot.sequence == sequence && slot.isActive }
}

/// What the pool keeps and libuv knows: armed until its deadline, then one entry of the ready queue.
final class TimerSlot {
    enum Action {
        case none
        case wake(AnyLoopTask)
        case handle(Handle)
        case call(() -> Void)
    }

    enum State { case idle, armed, due }

    var action = Action.none
    // Here, in the room that the action leaves: with a pool and many sleepers, small matters.
    var state = State.idle
    /// The clock's place for it: in the virtual clock's heap, or among the system clock's timers that had passed when they were armed. Less than 0: in neither.
    var place: Int32 = -1
    var deadline = LoopInstant(nanoseconds: 0)
    /// Tells the runs of a slot apart, and breaks ties: equal deadlines fire first in, first out.
    var sequence: UInt64 = 0
    var heapIndex: Int {
        get { Int(place) }
        set { place = Int32(newValue) }
    }
    /// The system clock's side.
    var uv: UVTimer?

    func isBefore(_ other: TimerSlot) -> Bool {
        deadline == other.deadline ? sequence < other.sequence : deadline < other.deadline
    }

    /// Its loop closes: it will do nothing any more, and lets go of whoever waited.
    func forget() {
        state = .idle
        action = .none
    }

    /// What libuv says: would it fire?
    var isActive: Bool { uv?.isActive ?? (state == .armed) }
}

/// The seam between a loop and its clock.
protocol TimerSource: AnyObject {
    var now: LoopInstant { get }
    /// Timers that are armed.
    var armed: Int { get }
    func arm(_ timer: TimerSlot)
    func disarm(_ timer: TimerSlot)
    /// Calls `due` for every timer whose deadline has come and that no poll would fire before the next turn.
    func collectDue(_ due: (TimerSlot) -> Void)
    /// Moves the clock to the next deadline, if this clock can, and if there is one.
    func jump() -> Bool
    func dispose(_ timer: TimerSlot)
    /// Forgets every timer that is armed; their handles are closed by the loop.
    func close()
}

extension EventLoop {
    /// Arms a timer from the pool.
    func startTimer(at deadline: LoopInstant, _ action: TimerSlot.Action) -> LoopTimer {
        let timer = timerPool.popLast() ?? TimerSlot()
        timer.deadline = deadline
        timer.action = action
        timer.state = .armed
        timerSequence &+= 1
        timer.sequence = timerSequence
        timers.arm(timer)
        return LoopTimer(slot: timer, sequence: timerSequence)
    }

    /// The timer will do nothing any more; if it was armed, libuv has let go of it when this returns. Of one that has fired or was stopped this does nothing.
    func stopTimer(_ timer: LoopTimer) {
        if timer.slot.sequence == timer.sequence { stop(timer.slot) }
    }

    /// For who knows that the slot's present run is its own.
    func stop(_ timer: TimerSlot) {
        switch timer.state {
        case .idle: return
        case .armed:
            timers.disarm(timer)
            recycle(timer)
        case .due:
            // It stands in the ready queue, or is about to, where it will be found without an action, and goes to the pool.
            timer.action = .none
        }
    }

    /// A timer's deadline has come: it becomes one entry of the next turn.
    func timerIsDue(_ timer: TimerSlot) {
        timer.state = .due
        dueTimers.append(timer)
    }

    /// In the order of their deadlines, which libuv does not keep within a millisecond.
    func appendDueTimers() {
        if dueTimers.count > 1 { dueTimers.sort { $0.isBefore($1) } }
        for timer in dueTimers { ready.append(.timer(timer)) }
        dueTimers.removeAll(keepingCapacity: dueTimers.count <= EventLoop.timerPoolLimit)
    }

    func fire(_ timer: TimerSlot) {
        let action = timer.action
        recycle(timer)
        switch action {
        case .none: return
        case .wake(let task): task.wake()
        case .handle(let handle): handle.run()
        case .call(let body): body()
        }
    }

    private func recycle(_ timer: TimerSlot) {
        timer.state = .idle
        timer.action = .none
        if timerPool.count < EventLoop.timerPoolLimit {
            timerPool.append(timer)
        } else {
            timers.dispose(timer)
        }
    }

    /// At most this many idle timers are kept for the next sleeps; about 300 bytes each.
    public static let timerPoolLimit = 1024
}
