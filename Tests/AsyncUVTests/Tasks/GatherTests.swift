import Testing
@testable import AsyncUV

@Suite struct GatherTests {
    @Test func entry84_gatherKeepsTheOrderOfItsArguments() async throws {
        try await withLoop {
            let slow = LoopTask {
                try await LoopTask.sleep(for: .seconds(2)); return 1
            }
            let fast = LoopTask {
                try await LoopTask.sleep(for: .seconds(1)); return 2
            }
            #expect(try await LoopTask.gather([slow, fast]) == [1, 2])
            let (number, text) = try await LoopTask.gather(slow, LoopTask { "two" })
            #expect(number == 1 && text == "two")
        }
    }

    @Test func entry84_oneThatIsGivenTwiceIsReportedTwiceAndNothingGivesNothing() async throws {
        try await withLoop {
            let task = LoopTask { 7 }
            let values = try await LoopTask.gather([task, task])
            #expect(values == [7, 7])
            let none: [LoopTask<Int>] = []
            #expect(try await LoopTask.gather(none).isEmpty)
        }
    }

    @Test func entry84_futuresOfTwoLoopsAreMisuse() async throws {
        try await withLoop {
            let other = try EventLoop(clock: .virtual)
            let here = try Future<Int>()
            let there = try Future<Int>(on: other)
            let error = await #expect(throws: LoopError.self) { try await LoopTask.gather([here, there]) }
            #expect(error?.code == .misuse)
            here.cancel()
        }
    }

    @Test func entry85_theFirstErrorEndsTheGatherAndTheOthersRunOn() async throws {
        let reports = Log()
        try await withLoop {
            try #require(EventLoop.current).setReportHandler { reports($0.description) }
            let first = LoopTask { () async throws -> Int in
                try await LoopTask.sleep(for: .seconds(1))
                throw Boom(name: "first")
            }
            let second = LoopTask { () async throws -> Int in
                try await LoopTask.sleep(for: .seconds(2))
                throw Boom(name: "second")
            }
            let error = await #expect(throws: Boom.self) { try await LoopTask.gather([first, second]) }
            #expect(error == Boom(name: "first"))
            #expect(!second.isDone)
            try await LoopTask.sleep(for: .seconds(5))
        }
        #expect(reports.entries.isEmpty)
    }

    @Test func entry86_aCancelledChildIsAnErrorOfTheGatherAndLeavesTheOthers() async throws {
        try await withLoop {
            let victim = LoopTask { try await LoopTask.sleep(for: .seconds(100)) }
            let other = LoopTask { try await LoopTask.sleep(for: .seconds(2)) }
            let waiter = LoopTask { _ = try await LoopTask.gather([victim, other]) }
            try await LoopTask.sleep(for: .seconds(1))
            victim.cancel()
            await #expect(throws: CancelledError.self) { try await waiter.value }
            #expect(waiter.cancelling() == 0 && !other.isDone)
            try await other.value
        }
    }

    @Test func entry87_cancellingTheGatherCancelsAllAndEndsWithTheLast() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let quick = LoopTask { try await LoopTask.sleep(for: .seconds(100)) }
            let slow = LoopTask {
                do { try await LoopTask.sleep(for: .seconds(100)) } catch {
                    try await LoopTask.sleep(for: .seconds(3))
                    throw error
                }
            }
            let waiter = LoopTask { try await LoopTask.gatherResults([quick, slow]).count }
            try await LoopTask.sleep(for: .seconds(1))
            #expect(waiter.cancel())
            // Even though every outcome was to be a value.
            await #expect(throws: CancelledError.self) { try await waiter.value }
            #expect(loop.now.nanoseconds == 4_000_000_000)
            #expect(quick.isCancelled && slow.isCancelled)
        }
    }

    @Test func entry87_aCancelAfterAllChildrenAreDoneIsDeliveredToTheWaiter() async throws {
        try await withLoop {
            let future = try Future<Int>()
            let waiter = LoopTask { try await LoopTask.gather([future]) }
            try await LoopTask.sleep(for: .seconds(1))
            try future.setResult(1)
            #expect(waiter.cancel())
            await #expect(throws: CancelledError.self) { try await waiter.value }
        }
    }

    @Test func entry88_errorsAndCancellationsComeAsValues() async throws {
        try await withLoop {
            let good = LoopTask { () async throws -> Int in 7 }
            let bad = LoopTask { () async throws -> Int in throw Boom() }
            let cancelled = LoopTask { () async throws -> Int in
                try await LoopTask.sleep(for: .seconds(100))
                return 0
            }
            try await LoopTask.yield()
            cancelled.cancel(message: "why")
            let results = try await LoopTask.gatherResults([good, bad, cancelled])
            #expect(try results[0].get() == 7)
            #expect(throws: Boom.self) { try results[1].get() }
            let error = #expect(throws: CancelledError.self) { try results[2].get() }
            #expect(error?.message == "why")
        }
    }

    @Test func aCancelGoesDownAnyNumberOfGathersInOneAnother() async throws {
        try await withLoop {
            let innermost = LoopTask { try await LoopTask.sleep(for: .seconds(3600)) }
            var outermost = innermost
            for _ in 0..<20_000 {
                let inner = outermost
                outermost = LoopTask { _ = try await LoopTask.gather([inner]) }
            }
            for _ in 0..<4 { try await LoopTask.yield() }
            outermost.cancel()
            await #expect(throws: CancelledError.self) { try await outermost.value }
            #expect(innermost.isCancelled)
        }
    }
}
