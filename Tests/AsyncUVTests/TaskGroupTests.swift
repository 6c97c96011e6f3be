import Testing
@testable import AsyncUV

struct Boom: Error, Equatable { var name = "boom" }

@Suite struct TaskGroupTests {
    @Test func theFirstErrorCancelsTheOthersAndComesAsATree() async throws {
        try await withLoop {
            let log = Log()
            let error = await #expect(throws: TaskGroupError.self) {
                try await withLoopTaskGroup { group in
                    try group.addTask {
                        do { try await LoopTask.sleep(for: .seconds(100)) } catch { log("\(error)"); throw error }
                    }
                    try group.addTask {
                        try await LoopTask.sleep(for: .seconds(1))
                        throw Boom()
                    }
                }
            }
            #expect(error?.errors as? [Boom] == [Boom()])
            #expect(log.entries.count == 1)
            #expect(LoopTask.current?.cancelling() == 0)
        }
    }

    @Test func gatherKeepsTheOrderOfItsArguments() async throws {
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

    @Test func aForeignCallIsCancelledExactlyOnce() async throws {
        try await withLoop {
            let task = LoopTask {
                do {
                    try await LoopTask.foreign { try await Task.sleep(for: .seconds(3600)) }
                } catch is CancelledError {
                    try await LoopTask.sleep(for: .seconds(1))
                    return try await LoopTask.foreign { "still able to call: \(Task.isCancelled)" }
                }
                return "not cancelled"
            }
            try await LoopTask.yield()
            task.cancel()
            #expect(try await task.value == "still able to call: false")
        }
    }

    @Test func aPlainTaskCanSleepOnTheLoopAndAwaitItsTasks() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            async let child: Void = LoopTask.sleep(for: .seconds(5))
            try await child
            let task = LoopTask {
                try await LoopTask.sleep(for: .seconds(5)); return 3
            }
            let value = try await LoopTask.foreign { try await task.value }
            #expect(value == 3)
            #expect(loop.now.nanoseconds == 10_000_000_000)
        }
    }
}
