import Testing
@testable import AsyncUV

private func name() -> String { LoopTask.current?.name ?? "none" }

/// Runs on the loop's thread in its own right.
private actor Pinned {
    private let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.unownedExecutor }
    private(set) var steps: [String] = []

    init(_ loop: EventLoop) { self.loop = loop }

    func step() -> String {
        steps.append(name())
        return name()
    }

    func waitAndStep() async throws -> String {
        try await LoopTask.sleep(for: .seconds(1))
        return step()
    }

    func start(_ label: String) -> LoopTask<[String]> {
        LoopTask(name: label, on: loop) {
            var seen = [self.step()]
            try await LoopTask.sleep(for: .seconds(1))
            seen.append(self.step())
            try await LoopTask.yield()
            seen.append(self.step())
            return seen
        }
    }
}

/// An actor like any other: of nobody's loop.
private actor Ordinary {
    func step() -> String { name() }

    func waitAndStep() async throws -> String {
        try await LoopTask.sleep(for: .seconds(1))
        return name()
    }

    func suspendElsewhere() async throws -> String {
        try await Task.sleep(for: .milliseconds(1))
        return name()
    }
}

@globalActor private actor LoopActor {
    static let shared = LoopActor()
    static let loop: EventLoop = {
        do { return try EventLoop(clock: .virtual) } catch { preconditionFailure("\(error)") }
    }()
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe LoopActor.loop.unownedExecutor }
}

@LoopActor private var counter = 0

@LoopActor private func work(_ label: String, _ turns: Log) async throws -> Int {
    for _ in 0..<3 {
        counter += 1
        turns("\(label) \(name()) \(LoopActor.loop.turn)")
        try await LoopTask.yield()
    }
    return counter
}

/// The child is not awaited: Swift cancels it at the end of the scope, and waits for it.
private func leaveAChildBehind() async throws -> String {
    async let _ = LoopTask.sleep(for: .seconds(3600))
    try await LoopTask.yield()
    return name()
}

@Suite struct TaskIdentityTests {
    @Test func entry21_theCurrentTaskIsTheOneWhoseCodeRuns() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let log = Log()
            func worker(_ label: String) -> LoopTask<Void> {
                LoopTask(name: label) {
                    for _ in 0..<3 {
                        log(name())
                        try await LoopTask.yield()
                    }
                }
            }
            let tasks = [worker("a"), worker("b")]
            try loop.callSoon { log(name()) }
            _ = try await LoopTask.gather(tasks)
            #expect(log.entries == ["a", "b", "none", "a", "b", "a", "b"])
            #expect(name() == "test")
        }
        #expect(name() == "none")
    }

    @Test func entry21_doneCallbacksAndTimersHaveNoCurrentTask() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let log = Log()
            LoopTask {}.addDoneCallback { _ in log("callback \(name())") }
            try loop.callLater(.seconds(1)) { log("timer \(name())") }
            try await LoopTask.sleep(for: .seconds(2))
            #expect(log.entries == ["callback none", "timer none"])
        }
    }

    @Test func aTaskStaysItselfAcrossForeignAwaits() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let log = Log()
            let others = (0..<3).map { number in
                LoopTask(name: "other \(number)") {
                    for _ in 0..<5 {
                        try await Task.sleep(for: .microseconds(300))
                        #expect(name() == "other \(number)")
                        await Task.yield()
                        #expect(name() == "other \(number)")
                    }
                }
            }
            try await Task.sleep(for: .milliseconds(1))
            log(name())
            let plain = await Task { name() }.value
            log("\(plain), then \(name())")
            await withCheckedContinuation { continuation in
                do { try onOtherThread { continuation.resume() } } catch { log("\(error)") }
            }
            log(name())
            await withCheckedContinuation { continuation in
                do { try loop.callSoon { continuation.resume() } } catch { log("\(error)") }
            }
            log(name())
            _ = try await LoopTask.gather(others)
            #expect(log.entries == ["test", "none, then test", "test", "test"])
        }
    }

    @Test func taskYieldLetsOthersRun() async throws {
        try await withLoop {
            final class Flag: @unchecked Sendable { var value = false }
            let flag = Flag()
            let setter = LoopTask {
                try await LoopTask.yield()
                flag.value = true
            }
            var rounds = 0
            while !flag.value && rounds < 1000 {
                await Task.yield()
                rounds += 1
            }
            #expect(flag.value)
            try await setter.value
        }
    }

    @Test func aTaskStaysItselfInsideActors() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let ordinary = Ordinary()
            let pinned = Pinned(loop)
            #expect(await ordinary.step() == "test")
            #expect(try await ordinary.waitAndStep() == "test")
            #expect(try await ordinary.suspendElsewhere() == "test")
            #expect(name() == "test")
            #expect(await pinned.step() == "test")
            #expect(try await pinned.waitAndStep() == "test")
            #expect(name() == "test")
            #expect(loop.now.nanoseconds == 2_000_000_000)
        }
    }

    @Test func manyTasksInOneActorStayThemselves() async throws {
        try await withLoop {
            let ordinary = Ordinary()
            let tasks = (0..<20).map { number in
                LoopTask(name: "t\(number)") {
                    for round in 0..<5 {
                        #expect(await ordinary.step() == "t\(number)")
                        #expect(try await ordinary.waitAndStep() == "t\(number)")
                        if round == number % 5 { #expect(try await ordinary.suspendElsewhere() == "t\(number)") }
                        #expect(name() == "t\(number)")
                        try await LoopTask.yield()
                    }
                }
            }
            _ = try await LoopTask.gather(tasks)
        }
    }

    @Test func aTaskThatIsAwayInAnActorIsCancelledThereAndCleansUpAsItself() async throws {
        try await withLoop {
            let ordinary = Ordinary()
            let task = LoopTask(name: "away") {
                do {
                    return try await ordinary.waitAndStep()
                } catch let error as CancelledError {
                    return "\(error.message ?? "") \(name())"
                }
            }
            try await LoopTask.sleep(for: .milliseconds(500))
            #expect(task.cancel(message: "come back"))
            #expect(try await task.value == "come back away")
        }
    }

    @Test func tasksThatStartInAPinnedActorAreIsolatedToItAndCostNoTurns() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let pinned = Pinned(loop)
            let tasks = await [pinned.start("a"), pinned.start("b")]
            let seen = try await LoopTask.gather(tasks)
            #expect(seen == [["a", "a", "a"], ["b", "b", "b"]])
            #expect(await pinned.steps == ["a", "b", "a", "b", "a", "b"])
        }
    }

    @Test func tasksOfAGlobalActorRunOnItsLoopInTurns() async throws {
        let log = Log()
        let values = try await onOwnThread {
            let loop = LoopActor.loop
            let first = LoopTask(name: "one", on: loop) { @LoopActor in try await work("first", log) }
            let second = LoopTask(name: "two", on: loop) { @LoopActor in try await work("second", log) }
            let values = [try loop.runUntilComplete(first), try loop.runUntilComplete(second)]
            #expect(try loop.close().isEmpty)
            return values
        }
        #expect(values == [5, 6] || values == [6, 6])
        // Isolation costs hops, and a hop is not a turn.
        #expect(log.entries == ["first one 1", "second two 1", "first one 2", "second two 2", "first one 3", "second two 3"])
    }

    @Test func childTasksAreNotTheirParent() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            async let child = name()
            #expect(await child == "none")
            async let sleeping: Void = LoopTask.sleep(for: .seconds(3))
            try await LoopTask.sleep(for: .seconds(1))
            #expect(name() == "test")
            try await sleeping
            #expect(loop.now.nanoseconds == 3_000_000_000)
            let names = await withTaskGroup(of: String.self) { group in
                for _ in 0..<3 { group.addTask { name() } }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(names == ["none", "none", "none"])
            #expect(name() == "test")
        }
    }

    @Test func anImmediateTaskRunsAtOnceAndIsNotItsCreator() async throws {
        try await withLoop {
            let log = Log()
            let immediate = Task.immediate(operation: {
                log(name())
                try await LoopTask.sleep(for: .seconds(1))
                log(name())
            })
            log(name())
            try await immediate.value
            log(name())
            #expect(log.entries == ["none", "test", "none", "test"])
        }
    }

    @Test func aPlainTaskGetsSwiftsOwnCancellationError() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let plain = Task(executorPreference: loop) { try await LoopTask.sleep(for: .seconds(3600)) }
            try await LoopTask.sleep(for: .seconds(1))
            plain.cancel()
            await #expect(throws: CancellationError.self) { try await plain.value }
            let left = try await leaveAChildBehind()
            #expect(left == "test")
        }
    }

    @Test func cancelDuringAForeignAwaitCancelsTheNativeTask() async throws {
        try await withLoop {
            let task = LoopTask {
                do {
                    try await Task.sleep(for: .seconds(3600))
                } catch is CancellationError {
                    return "native cancellation reached \(name())"
                }
                return "not cancelled"
            }
            try await LoopTask.yield()
            #expect(task.cancel())
            // The request itself was not delivered by a wait of ours, so it must come out of the task.
            await #expect(throws: CancelledError.self) { try await task.value }
        }
    }
}
