import Testing
@testable import AsyncUV

@Suite struct AsCompletedTests {
    @Test func entry91_theTasksComeInTheOrderInWhichTheyEnd() async throws {
        try await withLoop {
            let slow = LoopTask(name: "slow") { try await LoopTask.sleep(for: .seconds(3)) }
            let quick = LoopTask(name: "quick") { try await LoopTask.sleep(for: .seconds(1)) }
            var names: [String] = []
            for try await done in LoopTask.asCompleted([slow, quick, slow]) {
                #expect(done === slow || done === quick)
                names.append(done.name)
            }
            #expect(names == ["quick", "slow"])
        }
    }

    @Test func entry91_theTimeoutIsThrownByTheNextStepAndCancelsNothing() async throws {
        try await withLoop {
            let slow = LoopTask { try await LoopTask.sleep(for: .seconds(3)) }
            let quick = LoopTask { try await LoopTask.sleep(for: .seconds(1)) }
            var iterator = LoopTask.asCompleted([slow, quick], timeout: .seconds(2)).makeAsyncIterator()
            #expect(try await iterator.next() === quick)
            await #expect(throws: TimeoutError.self) { try await iterator.next() }
            #expect(!slow.isDone)
            try await slow.value
        }
    }

    @Test func aCancelledStepLosesNothing() async throws {
        try await withLoop {
            let slow = LoopTask { try await LoopTask.sleep(for: .seconds(3)) }
            let log = Log()
            let reader = LoopTask {
                var iterator = LoopTask.asCompleted([slow]).makeAsyncIterator()
                do { _ = try await iterator.next() } catch is CancelledError { log("cancelled") }
                if try await iterator.next() === slow { log("got it") }
                if try await iterator.next() == nil { log("end") }
            }
            try await LoopTask.sleep(for: .seconds(1))
            reader.cancel()
            try await reader.value
            #expect(log.entries == ["cancelled", "got it", "end"])
        }
    }

    @Test func aFutureThatEndsInTheTurnInWhichTheIteratorGoesFindsNobody() async throws {
        try await withLoop {
            let future = try Future<Void>()
            let reader = LoopTask { for try await _ in LoopTask.asCompleted([future]) {} }
            try await LoopTask.yield()
            // Resumed, the reader drops its iterator; the future's callback stands behind it in the same turn.
            reader.cancel()
            try future.setResult(())
            await #expect(throws: CancelledError.self) { try await reader.value }
        }
    }
}
