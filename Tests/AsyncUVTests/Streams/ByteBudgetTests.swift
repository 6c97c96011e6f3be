import Testing
@testable import AsyncUV

/// A connected pair on a loop with a budget of its own: nobody reads at the far end, and the kernel takes little.
private func stalledPair() async throws -> (near: TCPStream, far: TCPStream) {
    let (near, far) = try await connectedPair()
    try near.setSendBufferSize(4096)
    return (near, far)
}

/// Gives the test's loop a budget.
private func useBudget(_ limit: Int, _ policy: ByteBudget.Policy = .wait) throws -> ByteBudget {
    let budget = ByteBudget(limit: limit, policy: policy)
    try EventLoop.requireCurrent("test").setByteBudget(budget)
    return budget
}

extension TCPStream {
    /// Queues bytes until the kernel takes no more, and these stay; the other side must not read.
    fileprivate func stall(with bytes: Int) async throws {
        var still = 0, seen = -1
        // What the kernel has room for may grow for a while.
        while still < 60 {
            if pendingBytes < bytes { try await write([UInt8](repeating: 1, count: bytes - pendingBytes)) }
            try await LoopTask.sleep(for: .milliseconds(1))
            still = pendingBytes == bytes && seen == bytes ? still + 1 : 0
            seen = pendingBytes
        }
    }
}

@Suite struct ByteBudgetTests {
    @Test func withoutALimitNothingIsCounted() async throws {
        try await withPair { near, _ in
            try await near.stall(with: 50_000)
            #expect(near.core.charge == nil)
            #expect(!near.loop.byteBudget.isLimited)
        }
    }

    @Test func aWriteWaitsUntilOthersHaveMadeRoom() async throws {
        try await withLoop(clock: .system) {
            let budget = try useBudget(100_000)
            let (slow, slowFar) = try await stalledPair()
            let (near, far) = try await stalledPair()
            try await slow.stall(with: 60_000)
            #expect(budget.statistics.used == 60_000)
            // Fits under the stream's own mark, and not in the budget.
            #expect(try !near.tryWrite([UInt8](repeating: 2, count: 50_000).span))
            let writer = LoopTask { try await near.write([UInt8](repeating: 2, count: 50_000)) }
            for _ in 0..<100 { try await LoopTask.yield() }
            #expect(!writer.isDone && budget.statistics.waiting == 1)
            // As much as it takes: the kernel may have any number of bytes before these.
            let reader = LoopTask { while try await slowFar.read() != nil {} }
            try await writer.value
            reader.cancel()
            await #expect(throws: CancelledError.self) { try await reader.value }
            #expect(try await far.read(exactly: 50_000) == [UInt8](repeating: 2, count: 50_000))
            for stream in [slow, slowFar, near, far] { stream.abort() }
            #expect(budget.statistics.used == 0 && budget.statistics.waits == 1)
        }
    }

    @Test func waitingWritesAreServedInTheirOrder() async throws {
        try await withLoop(clock: .system) {
            let budget = try useBudget(60_000)
            let (slow, slowFar) = try await stalledPair()
            try await slow.stall(with: 60_000)
            let order = Shared<[Int]>([])
            var pairs: [(near: TCPStream, far: TCPStream)] = []
            for _ in 0..<4 { pairs.append(try await connectedPair()) }
            // The first needs the most, and is not overtaken.
            let writers = pairs.enumerated().map { index, pair in
                LoopTask {
                    try await pair.near.write([UInt8](repeating: 2, count: index == 0 ? 50_000 : 10))
                    order.value.append(index)
                }
            }
            try await until { budget.statistics.waiting == 4 }
            slow.abort()
            for writer in writers { try await writer.value }
            #expect(order.value == [0, 1, 2, 3])
            for pair in pairs {
                pair.near.abort()
                pair.far.abort()
            }
            slowFar.abort()
            #expect(budget.statistics.used == 0)
        }
    }

    @Test func aCancelledWriteHasSentNothingAndLetsTheNextOneGo() async throws {
        try await withLoop(clock: .system) {
            let budget = try useBudget(60_000)
            let (slow, slowFar) = try await stalledPair()
            try await slow.stall(with: 50_000)
            let (near, far) = try await connectedPair(), (other, otherFar) = try await connectedPair()
            let writer = LoopTask { try await near.write([UInt8](repeating: 2, count: 50_000)) }
            // The next one of the same stream, and one of another that needs little.
            let second = LoopTask { try await near.write([3]) }
            let small = LoopTask { try await other.write([4]) }
            try await until { budget.statistics.waiting == 2 }
            writer.cancel()
            await #expect(throws: CancelledError.self) { try await writer.value }
            try await second.value
            try await small.value
            #expect(try await far.read() == [3])
            #expect(try await otherFar.read() == [4])
            for stream in [slow, slowFar, near, far, other, otherFar] { stream.abort() }
            #expect(budget.statistics.used == 0 && budget.statistics.waiting == 0)
        }
    }

    @Test func closingAStreamEndsItsWaitAndGivesBackWhatItHad() async throws {
        try await withLoop(clock: .system) {
            let budget = try useBudget(60_000)
            let (slow, slowFar) = try await stalledPair()
            try await slow.stall(with: 50_000)
            let (near, far) = try await connectedPair()
            let writer = LoopTask { try await near.write([UInt8](repeating: 2, count: 50_000)) }
            try await until { budget.statistics.waiting == 1 }
            near.abort()
            await expectCode(.closed) { try await writer.value }
            #expect(budget.statistics.waiting == 0 && budget.statistics.used == 50_000)
            slowFar.abort()
            // The peer is gone, and so are the bytes.
            await expectCode(.connectionLost) { try await slow.flush() }
            #expect(budget.statistics.used == 0)
            slow.abort()
            far.abort()
        }
    }

    @Test func aWriteThatIsLargerThanTheBudgetGoesInAloneAndALargerThanTheMarkInParts() async throws {
        try await withLoop(clock: .system) {
            let budget = try useBudget(10_000)
            let (near, far) = try await stalledPair()
            for count in [50_000, 3_000_000] {
                let writer = LoopTask {
                    try await near.write([UInt8](repeating: 9, count: count))
                    try await near.flush()
                }
                #expect(try await far.read(exactly: count) == [UInt8](repeating: 9, count: count))
                try await writer.value
            }
            #expect(budget.statistics.peak <= 65_536)
            near.abort()
            far.abort()
            #expect(budget.statistics.used == 0)
        }
    }

    @Test func aLimitThatIsRaisedOrTakenAwayLetsWaitingWritesGo() async throws {
        try await withLoop(clock: .system) {
            let budget = ByteBudget()
            try EventLoop.requireCurrent("test").setByteBudget(budget)
            let (slow, slowFar) = try await stalledPair()
            try await slow.stall(with: 50_000)
            #expect(budget.statistics.used == 0)
            budget.set(limit: 55_000, policy: .wait)
            // What was queued before counts from now on.
            try await slow.write([UInt8](repeating: 1, count: 4_000))
            #expect(budget.statistics.used == 54_000)
            let (near, far) = try await connectedPair(), (other, otherFar) = try await connectedPair()
            let first = LoopTask { try await near.write([UInt8](repeating: 1, count: 2_000)) }
            let second = LoopTask { try await other.write([UInt8](repeating: 1, count: 60_000)) }
            try await until { budget.statistics.waiting == 2 }
            budget.set(limit: 57_000, policy: .wait)
            try await first.value
            for _ in 0..<20 { try await LoopTask.yield() }
            #expect(!second.isDone)
            budget.set(limit: .max, policy: .wait)
            try await second.value
            for stream in [slow, slowFar, near, far, other, otherFar] { stream.abort() }
            #expect(budget.statistics.used == 0)
            await expectCode(.misuse) {
                try await onOwnThread { try slow.loop.setByteBudget(.process) }
            }
        }
    }

    @Test func theStreamWhoseBytesHaveWaitedMostIsClosedToMakeRoom() async throws {
        try await withLoop(clock: .system) {
            let budget = try useBudget(110_000, .closeSlowest)
            let (oldest, oldestFar) = try await stalledPair(), (younger, youngerFar) = try await stalledPair()
            try await oldest.stall(with: 50_000)
            try await LoopTask.sleep(for: .milliseconds(50))
            try await younger.stall(with: 50_000)
            let reader = LoopTask { try await oldest.read() }
            let (near, far) = try await connectedPair()
            try await near.write([UInt8](repeating: 2, count: 20_000))
            #expect(try await far.read(exactly: 20_000).count == 20_000)
            // Who reads there is told, and so is who writes next.
            await expectCode(.limitExceeded) { try await reader.value }
            let error = await #expect(throws: LoopError.self) { try await oldest.write([1]) }
            #expect(error?.detail.contains("50000 bytes were queued") == true)
            // Told already.
            try await oldest.close()
            #expect(!younger.isClosing && budget.statistics.closed == 1)
            for stream in [younger, near, far, oldestFar, youngerFar] { stream.abort() }
            #expect(budget.statistics.used == 0)
        }
    }

    @Test func aStreamThatIsTheSlowestItselfIsClosedByItsOwnWrite() async throws {
        try await withLoop(clock: .system) {
            let budget = try useBudget(50_000, .closeSlowest)
            let (near, far) = try await stalledPair()
            try await near.stall(with: 45_000)
            await expectCode(.limitExceeded) { try await near.write([UInt8](repeating: 1, count: 10_000)) }
            let (other, otherFar) = try await stalledPair()
            try await other.stall(with: 45_000)
            let closing = LoopTask { try await other.close() }
            try await until { other.isClosing }
            let (third, thirdFar) = try await stalledPair()
            try await third.write([UInt8](repeating: 1, count: 20_000))
            // What it had admitted is lost.
            await expectCode(.limitExceeded) { try await closing.value }
            for stream in [far, otherFar, third, thirdFar] { stream.abort() }
            #expect(budget.statistics.used == 0 && budget.statistics.closed == 2)
        }
    }

    @Test(arguments: [ByteBudget.Policy.wait, .closeSlowest])
    func aBudgetIsSharedByLoops(policy: ByteBudget.Policy) async throws {
        try await withRunningLoop(clock: .system) { second in
            let budget = ByteBudget(limit: 60_000, policy: policy)
            let stalled = LoopTask(on: second) {
                try second.setByteBudget(budget)
                let (slow, slowFar) = try await stalledPair()
                try await slow.stall(with: 50_000)
                return (slow, slowFar)
            }
            let (slow, slowFar) = try await stalled.value
            try await withLoop(clock: .system) {
                try EventLoop.requireCurrent("test").setByteBudget(budget)
                let (near, far) = try await connectedPair()
                let writer = LoopTask { try await near.write([UInt8](repeating: 2, count: 50_000)) }
                var draining: LoopTask<Void>?
                if policy == .wait {
                    try await until { budget.statistics.waiting == 1 }
                    // However much the kernel holds between the two.
                    draining = LoopTask(on: second) { while try await slowFar.read() != nil {} }
                }
                try await withTimeout(.seconds(10)) { try await writer.value }
                #expect(try await far.read(exactly: 50_000).count == 50_000)
                near.abort()
                far.abort()
                #expect(budget.statistics.closed == (policy == .wait ? 0 : 1))
                if let draining {
                    draining.cancel()
                    await #expect(throws: CancelledError.self) { try await draining.value }
                }
            }
            slow.abort()
            slowFar.abort()
            try await LoopTask(on: second) { try await slow.waitClosed() }.value
            #expect(budget.statistics.used == 0)
        }
    }

    /// Writers of three threads, most of them cancelled at some time: every other one gets its turn, and nothing stays counted.
    @Test func noWakeUpIsLostBetweenLoopsThatShareABudget() async throws {
        let budget = ByteBudget(limit: 20_000)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for seed in 0..<3 {
                group.addTask {
                    try await withLoop(clock: .system) {
                        try EventLoop.requireCurrent("test").setByteBudget(budget)
                        try await writeAndCancel(UInt64(seed))
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(budget.statistics.used == 0 && budget.statistics.waiting == 0)
        #expect(budget.statistics.waits > 100, "\(budget.statistics)")
        #expect(budget.statistics.peak <= 20_000)
    }
}

@Sendable private func writeAndCancel(_ seed: UInt64) async throws {
    var random = Seeded(seed &+ 300)
    let pairs = [try await stalledPair(), try await stalledPair(), try await stalledPair()]
    let readers = pairs.map { pair in
        LoopTask {
            var count = 0
            while let bytes = try await pair.far.read(atMost: 5_000) {
                count += bytes.count
                try await LoopTask.yield()
            }
            return count
        }
    }
    var sent = [0, 0, 0]
    for _ in 0..<300 {
        let jobs = (0..<6).map { _ in
            let index = Int.random(in: 0..<3, using: &random), count = Int.random(in: 1...15_000, using: &random)
            return (index, count, LoopTask { try await pairs[index].near.write([UInt8](repeating: 1, count: count)) })
        }
        for _ in 0..<Int.random(in: 0...3, using: &random) { try await LoopTask.yield() }
        for job in jobs where Bool.random(using: &random) { job.2.cancel() }
        for (index, count, task) in jobs {
            do {
                try await withTimeout(.seconds(30)) { try await task.value }
                sent[index] += count
            } catch is CancelledError {}
        }
    }
    for pair in pairs { try await pair.near.close() }
    for (index, reader) in readers.enumerated() { #expect(try await reader.value == sent[index]) }
    for pair in pairs { pair.far.abort() }
}
