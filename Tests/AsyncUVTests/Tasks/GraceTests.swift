import Testing
@testable import AsyncUV

@Suite struct GraceTests {
    @Test func aCancelInsideIsHeldBackUntilTheEnd() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let log = Log()
            let task = LoopTask {
                try await withCleanup(deadline: .seconds(10)) {
                    try await LoopTask.sleep(for: .seconds(5))
                    log("clean at \(loop.now.nanoseconds / 1_000_000_000), \(LoopTask.current?.cancelling() ?? -1) request")
                }
                log("after")
                try await LoopTask.sleep(for: .seconds(5))
                log("never")
            }
            try await LoopTask.sleep(for: .seconds(1))
            #expect(task.cancel(message: "first"))
            #expect(task.cancel(message: "second"))
            let error = await #expect(throws: CancelledError.self) { try await task.value }
            #expect(error?.message == "first")
            #expect(log.entries == ["clean at 5, 2 request", "after"])
            #expect(loop.now.nanoseconds == 5_000_000_000)
        }
    }

    @Test func whenTheGraceIsOverTheWaitInsideIsInterrupted() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let task = LoopTask {
                try await withCleanup(deadline: .seconds(3)) { try await LoopTask.sleep(for: .seconds(100)) }
            }
            try await LoopTask.sleep(for: .seconds(1))
            task.cancel(message: "held")
            let error = await #expect(throws: CancelledError.self) { try await task.value }
            #expect(error?.message == "held")
            #expect(loop.now.nanoseconds == 3_000_000_000)
        }
    }

    @Test func aCancelAfterTheGraceIsDeliveredAtOnce() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let task = LoopTask {
                try await withCleanup(deadline: .seconds(1)) { try await LoopTask.sleep(for: .seconds(100)) }
            }
            try await LoopTask.sleep(for: .seconds(2))
            task.cancel()
            await #expect(throws: CancelledError.self) { try await task.value }
            #expect(loop.now.nanoseconds == 2_000_000_000)
        }
    }

    @Test func anUndeliveredRequestIsHeldBackToo() async throws {
        try await withLoop {
            let log = Log()
            let task = LoopTask {
                LoopTask.current?.cancel()
                try await withCleanup(deadline: .seconds(10)) {
                    try await LoopTask.sleep(for: .seconds(1))
                    log("clean")
                }
                try await LoopTask.yield()
                log("never")
            }
            await #expect(throws: CancelledError.self) { try await task.value }
            #expect(log.entries == ["clean"])
        }
    }

    @Test func aCancelDoesNotReachWhatIsAwaitedInside() async throws {
        try await withLoop {
            let helper = LoopTask { () async throws -> Int in
                try await LoopTask.sleep(for: .seconds(5))
                return 7
            }
            let log = Log()
            let task = LoopTask {
                let value = try await withCleanup(deadline: .seconds(10)) { try await helper.value }
                log("\(value)")
                try await LoopTask.yield()
            }
            try await LoopTask.sleep(for: .seconds(1))
            task.cancel()
            await #expect(throws: CancelledError.self) { try await task.value }
            #expect(log.entries == ["7"] && !helper.isCancelled)
        }
    }

    @Test func insideATimeoutTheCleanUpMayTakeLonger() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            await #expect(throws: TimeoutError.self) {
                try await withTimeout(.seconds(1)) {
                    try await withCleanup(deadline: .seconds(10)) { try await LoopTask.sleep(for: .seconds(5)) }
                    try await LoopTask.sleep(for: .seconds(100))
                }
            }
            #expect(loop.now.nanoseconds == 5_000_000_000)
        }
    }

    @Test func shieldsNestAndTheOutermostDeadlineCounts() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let task = LoopTask {
                try await withCleanup(deadline: .seconds(10)) {
                    try await withCleanup(deadline: .seconds(1)) { try await LoopTask.sleep(for: .seconds(5)) }
                    try await LoopTask.sleep(for: .seconds(100))
                }
            }
            try await LoopTask.sleep(for: .milliseconds(500))
            task.cancel()
            await #expect(throws: CancelledError.self) { try await task.value }
            #expect(loop.now.nanoseconds == 10_000_000_000)
        }
    }
}
