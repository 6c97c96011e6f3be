import Testing
@testable import AsyncUV

@Suite struct IntervalTickerTests {
    /// When each of five ticks was due, and when it came, in seconds; the body takes 2.5 seconds once.
    private func ticks(_ policy: IntervalTicker.MissedTicks) async throws -> (due: [Double], came: [Double]) {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            var due: [Double] = []
            var came: [Double] = []
            for try await tick in IntervalTicker(every: .seconds(1), missedTicks: policy) {
                due.append(Double(tick.nanoseconds) / 1e9)
                came.append(Double(loop.now.nanoseconds) / 1e9)
                if due.count == 2 { try await LoopTask.sleep(for: .milliseconds(2500)) }
                if due.count == 5 { break }
            }
            return (due, came)
        }
    }

    @Test func skipDropsWhatWasMissedAndKeepsTheGrid() async throws {
        let (due, came) = try await ticks(.skip)
        #expect(due == [1, 2, 3, 5, 6])
        #expect(came == [1, 2, 4.5, 5, 6])
    }

    @Test func delayMovesTheGrid() async throws {
        let (due, came) = try await ticks(.delay)
        #expect(due == [1, 2, 3, 5.5, 6.5])
        #expect(came == [1, 2, 4.5, 5.5, 6.5])
    }

    @Test func burstCatchesUp() async throws {
        let (due, came) = try await ticks(.burst)
        #expect(due == [1, 2, 3, 4, 5])
        #expect(came == [1, 2, 4.5, 4.5, 5])
    }

    @Test func aCancelledTickIsStillDue() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let task = LoopTask { () async throws -> Int64 in
                var iterator = IntervalTicker(every: .seconds(2)).makeAsyncIterator()
                do { _ = try await iterator.next() } catch is CancelledError {}
                _ = try await iterator.next()
                return loop.now.nanoseconds
            }
            try await LoopTask.sleep(for: .seconds(1))
            task.cancel()
            #expect(try await task.value == 2_000_000_000)
        }
    }
}
