internal import UVCore

/// A timer of a loop: armed until its deadline, then one entry of the ready queue. Pooled; whoever started it holds it until it fired or was stopped.
final class LoopTimer {
    enum Action {
        case none
        case wake(AnyLoopTask)
        case handle(Handle)
        case call(() -> Void)
    }

    enum State { case idle, armed, due }

    fileprivate(set) var state = State.idle
    fileprivate(set) var action = Action.none
    fileprivate(set) var deadline = LoopInstant(nanoseconds: 0)
    /// Breaks ties: equal deadlines fire first in, first out.
    fileprivate var sequence: UInt64 = 0
    fileprivate var heapIndex = -1
    /// The system clock's side.
    fileprivate var uv: UVTimer?

    /// What libuv says: would it fire?
    var isActive: Bool { uv?.isActive ?? (state == .armed) }
}

/// The seam between a loop and its clock.
protocol TimerSource: AnyObject {
    var now: LoopInstant { get }
    /// Timers that are armed.
    var armed: Int { get }
    func arm(_ timer: LoopTimer)
    func disarm(_ timer: LoopTimer)
    /// Calls `due` for every timer whose deadline has come and that no poll would fire before the next turn.
    func collectDue(_ due: (LoopTimer) -> Void)
    /// Moves the clock to the next deadline, if this clock can, and if there is one.
    func jump() -> Bool
    func dispose(_ timer: LoopTimer)
}

/// libuv's clock: one `uv_timer_t` a timer.
final class SystemTimers: TimerSource {
    private let loop: UVLoop
    private let origin = UVLoop.hrtime()
    private let fire: (LoopTimer) -> Void
    private(set) var armed = 0
    /// Armed with a deadline that had passed: due in the next turn, whether it polls or not.
    private var passed: [LoopTimer] = []

    init(loop: UVLoop, fire: @escaping (LoopTimer) -> Void) {
        self.loop = loop
        self.fire = fire
    }

    var now: LoopInstant { LoopInstant(nanoseconds: Int64(clamping: UVLoop.hrtime() &- origin)) }

    func arm(_ timer: LoopTimer) {
        armed += 1
        if timer.deadline <= now {
            passed.append(timer)
            return
        }
        let uv: UVTimer
        if let existing = timer.uv {
            uv = existing
        } else {
            do {
                uv = try UVTimer(loop: loop) { [weak self, weak timer] _ in
                    guard let self, let timer else { return }
                    self.armed -= 1
                    self.fire(timer)
                }
            } catch {
                // uv_timer_init cannot fail in any libuv there is; if one did, the timer is due at once rather than never.
                passed.append(timer)
                return
            }
            timer.uv = uv
        }
        // Rounded up to the millisecond at which the deadline has certainly passed: libuv truncates its own clock, so that
        // counting from there would fire up to a millisecond early. And its cached time may be old.
        loop.updateTime()
        let (absolute, overflow) = UInt64(clamping: timer.deadline.nanoseconds).addingReportingOverflow(origin)
        let milliseconds = overflow ? UInt64.max / 1_000_000 : absolute / 1_000_000 + (absolute % 1_000_000 > 0 ? 1 : 0)
        uv.start(milliseconds: milliseconds > loop.now ? milliseconds - loop.now : 0)
    }

    func disarm(_ timer: LoopTimer) {
        armed -= 1
        timer.uv?.stop()
        if let index = passed.firstIndex(where: { $0 === timer }) { passed.remove(at: index) }
    }

    func collectDue(_ due: (LoopTimer) -> Void) {
        if passed.isEmpty { return }
        let timers = passed
        passed.removeAll(keepingCapacity: true)
        for timer in timers {
            armed -= 1
            due(timer)
        }
    }

    func jump() -> Bool { false }

    func dispose(_ timer: LoopTimer) {
        timer.uv?.close()
        timer.uv = nil
    }
}

/// A clock that stands still while anything can run, and then jumps to the next deadline. Starts at 0.
final class VirtualTimers: TimerSource {
    private(set) var now = LoopInstant(nanoseconds: 0)
    private var heap: [LoopTimer] = []

    var armed: Int { heap.count }

    func arm(_ timer: LoopTimer) {
        timer.heapIndex = heap.count
        heap.append(timer)
        siftUp(heap.count - 1)
    }

    func disarm(_ timer: LoopTimer) {
        let index = timer.heapIndex
        timer.heapIndex = -1
        let last = heap.removeLast()
        if last === timer { return }
        heap[index] = last
        last.heapIndex = index
        siftUp(index)
        siftDown(last.heapIndex)
    }

    func collectDue(_ due: (LoopTimer) -> Void) {
        while let first = heap.first, first.deadline <= now {
            disarm(first)
            due(first)
        }
    }

    func jump() -> Bool {
        guard let first = heap.first else { return false }
        if first.deadline > now { now = first.deadline }
        return true
    }

    func dispose(_ timer: LoopTimer) {}

    private func isBefore(_ left: LoopTimer, _ right: LoopTimer) -> Bool {
        left.deadline == right.deadline ? left.sequence < right.sequence : left.deadline < right.deadline
    }

    private func siftUp(_ start: Int) {
        var index = start
        while index > 0 {
            let parent = (index - 1) / 2
            if !isBefore(heap[index], heap[parent]) { return }
            swap(index, parent)
            index = parent
        }
    }

    private func siftDown(_ start: Int) {
        var index = start
        while true {
            var smallest = index
            for child in [2 * index + 1, 2 * index + 2] where child < heap.count && isBefore(heap[child], heap[smallest]) {
                smallest = child
            }
            if smallest == index { return }
            swap(index, smallest)
            index = smallest
        }
    }

    private func swap(_ left: Int, _ right: Int) {
        heap.swapAt(left, right)
        heap[left].heapIndex = left
        heap[right].heapIndex = right
    }
}

extension EventLoop {
    /// Arms a timer from the pool.
    func startTimer(at deadline: LoopInstant, _ action: LoopTimer.Action) -> LoopTimer {
        let timer = timerPool.popLast() ?? LoopTimer()
        timer.deadline = deadline
        timer.action = action
        timer.state = .armed
        timerSequence &+= 1
        timer.sequence = timerSequence
        timers.arm(timer)
        return timer
    }

    /// The timer will do nothing any more; if it was armed, libuv has let go of it when this returns.
    func stopTimer(_ timer: LoopTimer) {
        switch timer.state {
        case .idle: return
        case .armed:
            timers.disarm(timer)
            recycle(timer)
        case .due:
            // It stands in the ready queue, where it will be found without an action, and goes to the pool.
            timer.action = .none
        }
    }

    /// A timer's deadline has come: it becomes one entry.
    func timerIsDue(_ timer: LoopTimer) {
        timer.state = .due
        ready.append(.timer(timer))
    }

    func fire(_ timer: LoopTimer) {
        let action = timer.action
        recycle(timer)
        switch action {
        case .none: return
        case .wake(let task): task.wake()
        case .handle(let handle): handle.run()
        case .call(let body): body()
        }
    }

    private func recycle(_ timer: LoopTimer) {
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
