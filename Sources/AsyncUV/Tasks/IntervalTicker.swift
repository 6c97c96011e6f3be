/// Ticks at a fixed rate: `for try await tick in IntervalTicker(every: .seconds(1)) { … }`. The first tick comes one interval after the start of the iteration.
public struct IntervalTicker: AsyncSequence, Sendable {
    /// What becomes of ticks that nobody was there for, because the loop's body or somebody else took longer than the interval.
    public enum MissedTicks: Sendable {
        /// They are dropped; the next tick is the next multiple of the interval from the start.
        case skip
        /// The schedule moves: the next tick comes one interval after the late one.
        case delay
        /// They come one after the other, a turn apart, until the schedule is met again.
        case burst
    }

    /// At least a millisecond.
    public let interval: Duration
    /// What becomes of ticks that came too early for the loop's body.
    public let missedTicks: MissedTicks

    /// - Parameter interval: at least a millisecond; less is taken as one.
    public init(every interval: Duration, missedTicks: MissedTicks = .skip) {
        self.interval = Swift.max(interval, .milliseconds(1))
        self.missedTicks = missedTicks
    }

    public func makeAsyncIterator() -> Iterator { Iterator(interval: interval, missedTicks: missedTicks) }

    public struct Iterator: AsyncIteratorProtocol {
        let interval: Duration
        let missedTicks: MissedTicks
        private var due: LoopInstant?

        init(interval: Duration, missedTicks: MissedTicks) {
            self.interval = interval
            self.missedTicks = missedTicks
        }

        /// Suspends until the next tick, and returns when that was due. Never ends.
        ///
        /// - Cancellation: throws in the next turn; the tick is still due, the next call waits for the same one.
        /// - Throws: as `LoopTask.sleep(until:)`.
        public mutating func next() async throws -> LoopInstant? {
            let loop = try EventLoop.requireCurrent("IntervalTicker.next")
            let due = due ?? loop.now.advanced(by: interval)
            self.due = due
            try await LoopTask.sleep(until: due)
            self.due = following(due, now: loop.now)
            return due
        }

        private func following(_ due: LoopInstant, now: LoopInstant) -> LoopInstant {
            let next = due.advanced(by: interval)
            if next > now { return next }
            switch missedTicks {
            case .burst: return next
            case .delay: return now.advanced(by: interval)
            case .skip:
                let step = interval.saturatedNanoseconds
                let missed = (now.nanoseconds - due.nanoseconds) / step
                return due.advanced(by: .nanoseconds(missed &* step)).advanced(by: interval)
            }
        }
    }
}
