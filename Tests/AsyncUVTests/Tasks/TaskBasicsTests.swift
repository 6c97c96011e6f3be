import Testing
@testable import AsyncUV

private enum Context {
    @TaskLocal static var id = 0
}

@Suite struct TaskBasicsTests {
    @Test func entry16_aTaskStartsInTheNextTurn() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let log = Log()
            let turn = loop.turn
            let task = LoopTask { log("started +\(loop.turn - turn)") }
            #expect(log.entries.isEmpty)
            #expect(!task.isDone)
            try await task.value
            #expect(log.entries == ["started +1"])
            // Awaiting costs the turn of the task and the one of its awaiter.
            #expect(loop.turn == turn + 2)
        }
    }

    @Test func entry16_withoutALoopATaskIsBornFailed() async throws {
        let error = await #expect(throws: LoopError.self) { try await LoopTask { 1 }.value }
        #expect(error?.code == .misuse)
        #expect(error?.description.contains("no event loop runs here") == true)
        await #expect(throws: LoopError.self) { try await LoopTask.sleep(for: .zero) }
    }

    @Test func entry16_onAClosedLoopATaskIsBornFailed() async throws {
        let loop = try await onOwnThread {
            let loop = try EventLoop()
            _ = try loop.close()
            return loop
        }
        let log = Log()
        let task = LoopTask(on: loop) { log("never") }
        #expect(task.isDone)
        #expect(!task.cancel())
        let error = await #expect(throws: LoopError.self) { try await task.value }
        #expect(error?.code == .misuse)
        #expect(error?.description.contains("closed") == true)
        #expect(log.entries.isEmpty)
    }

    @Test func entry18_aFutureOfAnotherLoopCanBeAwaited() async throws {
        // More than asyncio, where it is an error: the news is posted from loop to loop.
        try await withRunningLoop { other in
            try await withLoop {
                let future = try Future<Int>(on: other)
                let setter = LoopTask(on: other) {
                    try await LoopTask.yield()
                    try future.setResult(7)
                }
                #expect(try await future.value == 7)
                try await setter.value
                let failing = LoopTask(on: other) { () async throws -> Int in throw Boom() }
                await #expect(throws: Boom()) { try await failing.value }
            }
        }
    }

    @Test func entry20_tasksHaveNumbersAndMayBeNamed() async throws {
        try await withLoop {
            let first = LoopTask {}
            let second = LoopTask {}
            let named = LoopTask(name: "worker") { LoopTask.current?.name }
            #expect(first.name.wholeMatch(of: /Task-[0-9]+/) != nil)
            #expect(first.name != second.name)
            #expect(first.number < second.number)
            #expect(named.name == "worker")
            first.name = "\(12)"
            try onOtherThread { second.name = "renamed" }
            #expect(first.name == "12" && second.name == "renamed")
            #expect(try await named.value == "worker")
            _ = try await LoopTask.gather([first, second])
        }
    }

    @Test func entry20_numbersAreCountedAcrossThreads() async throws {
        let numbers = try await withThrowingTaskGroup(of: [UInt64].self) { group in
            for _ in 0..<4 {
                group.addTask {
                    try await withLoop {
                        let tasks = (0..<500).map { _ in LoopTask {} }
                        _ = try await LoopTask.gather(tasks)
                        return tasks.map(\.number)
                    }
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(Set(numbers).count == 2000)
    }

    @Test func entry21_unfinishedTasksAreThoseOfTheLoopThatAreNotDone() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let other = try EventLoop()
            let foreign = LoopTask(name: "foreign", on: other) {}
            let (a, b) = (LoopTask(name: "a") {}, LoopTask(name: "b") { try await LoopTask.sleep(for: .seconds(1)) })
            #expect(loop.unfinishedTasks.map(\.name) == ["test", "a", "b"])
            try await a.value
            #expect(loop.unfinishedTasks.map(\.name) == ["test", "b"])
            try await b.value
            #expect(loop.unfinishedTasks.map(\.name) == ["test"])
            // It belongs to this thread too, but cannot run here while this one does.
            #expect(other.unfinishedTasks.count == 1)
            foreign.cancel()
            try await closeElsewhere(other)
        }
    }

    @Test func entry22_theLoopHoldsATaskThatNobodyElseHolds() async throws {
        let log = Log()
        try await withBareLoop { loop in
            weak var task: LoopTask<Void>?
            do {
                let made = LoopTask(on: loop) {
                    try await LoopTask.sleep(for: .seconds(1))
                    log("done")
                }
                task = made
            }
            loop.stop()
            try loop.runForever()
            #expect(task != nil)
            #expect(try loop.runUntilIdle() == .idle)
            #expect(task == nil)
        }
        #expect(log.entries == ["done"])
    }

    @Test func entry22_fault27_aHundredThousandTasksThatNobodyHoldsAllEnd() async throws {
        final class Count: @unchecked Sendable { var value = 0 }
        try await withBareLoop { loop in
            let count = Count()
            for number in 0..<100_000 {
                _ = LoopTask(on: loop) {
                    if number % 3 == 0 { try await LoopTask.yield() }
                    if number % 3 == 1 { try await LoopTask.sleep(for: .milliseconds(number % 100)) }
                    count.value += 1
                }
            }
            let end = try loop.runUntilIdle()
            #expect(end == .idle)
            #expect(count.value == 100_000)
            #expect(loop.unfinishedTasks.isEmpty)
        }
    }

    @Test func entry23_aTaskHasTheTaskLocalsOfWhereItWasCreated() async throws {
        try await withLoop { () async throws in
            let (outer, inner) = Context.$id.withValue(1) {
                (
                    LoopTask { Context.id },
                    LoopTask {
                        try await LoopTask.sleep(for: .seconds(1))
                        let child = Context.$id.withValue(2) { LoopTask { Context.id } }
                        return [Context.id, try await child.value, Context.id]
                    }
                )
            }
            #expect(Context.id == 0)
            #expect(try await outer.value == 1)
            #expect(try await inner.value == [1, 2, 1])
            #expect(Context.id == 0)
        }
    }

    @Test func aLongChainOfTasksThatAwaitEachOtherNeedsNoStack() async throws {
        try await withLoop {
            let first = try Future<Int>()
            var last = LoopTask { try await first.value }
            for _ in 0..<20_000 {
                let before = last
                last = LoopTask { try await before.value + 1 }
            }
            try await LoopTask.yield()
            try first.setResult(0)
            #expect(try await last.value == 20_000)
        }
    }
}

private func closeElsewhere(_ loop: EventLoop) async throws {
    // Its thread runs another loop: whoever runs it next owns it.
    _ = try await LoopTask.foreign {
        try await onOwnThread {
            loop.stop()
            try loop.runForever()
            try loop.close()
        }
    }
}
