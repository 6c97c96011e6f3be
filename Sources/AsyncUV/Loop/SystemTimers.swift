internal import UVCore

/// libuv's clock: one `uv_timer_t` a timer.
final class SystemTimers: TimerSource {
    private let loop: UVLoop
    private let origin = UVLoop.hrtime()
    /// The same for all timers: it is called with the one that fired.
    private var onFire = UVTimer.Action { _ in }
    private(set) var armed = 0
    /// Armed with a deadline that had passed: due in the next turn, whether it polls or not.
    private var passed: [TimerSlot] = []

    init(loop: UVLoop, fire: @escaping (TimerSlot) -> Void) {
        self.loop = loop
        onFire = UVTimer.Action { [unowned self] uv in
            guard let timer = uv.context as? TimerSlot else { return }
            armed -= 1
            fire(timer)
        }
    }

    var now: LoopInstant { LoopInstant(nanoseconds: Int64(clamping: UVLoop.hrtime() &- origin)) }

    func arm(_ timer: TimerSlot) {
        armed += 1
        if timer.deadline <= now {
            pass(timer)
            return
        }
        let uv: UVTimer
        if let existing = timer.uv {
            uv = existing
        } else {
            do {
                uv = try UVTimer(loop: loop, action: onFire)
            } catch {
                // uv_timer_init cannot fail in any libuv there is; if one did, the timer is due at once rather than never.
                pass(timer)
                return
            }
            // A cycle for as long as the handle is open: the pool disposes of what it drops, and `close` of what is armed.
            timer.uv = uv
            uv.context = timer
        }
        // Rounded up to the millisecond at which the deadline has certainly passed: libuv truncates its own clock, so that
        // counting from there would fire up to a millisecond early. And its cached time may be old.
        loop.updateTime()
        let (absolute, overflow) = UInt64(clamping: timer.deadline.nanoseconds).addingReportingOverflow(origin)
        let milliseconds = overflow ? UInt64.max / 1_000_000 : absolute / 1_000_000 + (absolute % 1_000_000 > 0 ? 1 : 0)
        uv.start(milliseconds: milliseconds > loop.now ? milliseconds - loop.now : 0)
    }

    func disarm(_ timer: TimerSlot) {
        armed -= 1
        if timer.heapIndex < 0 {
            timer.uv?.stop()
            return
        }
        // Their order does not matter: those that are due are sorted.
        passed.swapAt(timer.heapIndex, passed.count - 1)
        passed[timer.heapIndex].heapIndex = timer.heapIndex
        passed.removeLast()
        timer.heapIndex = -1
    }

    private func pass(_ timer: TimerSlot) {
        timer.heapIndex = passed.count
        passed.append(timer)
    }

    func collectDue(_ due: (TimerSlot) -> Void) {
        if passed.isEmpty { return }
        let timers = passed
        passed.removeAll(keepingCapacity: true)
        for timer in timers {
            armed -= 1
            timer.heapIndex = -1
            due(timer)
        }
    }

    func jump() -> Bool { false }

    func dispose(_ timer: TimerSlot) {
        timer.uv?.close()
        timer.uv = nil
    }

    func close() {
        for timer in passed { timer.forget() }
        passed.removeAll()
        for case let uv as UVTimer in loop.handles() {
            if let timer = uv.context as? TimerSlot { timer.forget() }
        }
    }
}
