import Testing
@testable import AsyncUV

private enum Context {
    @TaskLocal static var id = 0
}

@Suite struct EagerStartTests {
    @Test func entry50_theFirstStepRunsInsideTheInitialiser() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let log = Log()
            let turn = loop.turn
            let ready = loop.ready.count
            let done = LoopTask(eager: true) {
                log("body in turn +\(loop.turn - turn)")
                return 7
            }
            log("after")
            #expect(done.isDone)
            #expect(try done.result() == 7)
            // It was never queued.
            #expect(loop.ready.count == ready)
            #expect(loop.unfinishedTasks.map(\.name) == ["test"])
            let waiting = LoopTask(eager: true) {
                log("first step")
                try await LoopTask.yield()
                log("second step in turn +\(loop.turn - turn)")
            }
            log("after")
            #expect(!waiting.isDone)
            try await waiting.value
            #expect(log.entries == ["body in turn +0", "after", "first step", "after", "second step in turn +1"])
        }
    }

    @Test func entry50_anErrorOfTheFirstStepIsTheTasks() async throws {
        try await withLoop {
            let failed = LoopTask(eager: true) { () async throws -> Int in throw Boom() }
            #expect(failed.isDone)
            await #expect(throws: Boom()) { try await failed.value }
        }
    }

    @Test func entry50_withoutARunningLoopItStartsAsUsual() async throws {
        let log = Log()
        try await withBareLoop { loop in
            let task = LoopTask(on: loop, eager: true) { log("started") }
            #expect(!task.isDone && log.entries.isEmpty)
            try loop.runUntilComplete(task)
        }
        #expect(log.entries == ["started"])
        try await withRunningLoop { other in
            try await withLoop {
                let isThere = try await LoopTask(on: other, eager: true) { EventLoop.current === other }.value
                #expect(isThere)
            }
        }
    }

    @Test func entry51_theCurrentTaskIsTheChildAndThenTheParentAgain() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let log = Log()
            let me = try #require(LoopTask.current)
            let outer = LoopTask(name: "outer", eager: true) {
                log("1 \(LoopTask.current?.name ?? "none")")
                let inner = LoopTask(name: "inner", eager: true) {
                    log("2 \(LoopTask.current?.name ?? "none") of \(loop.unfinishedTasks.map(\.name))")
                    try await LoopTask.yield()
                    log("5 \(LoopTask.current?.name ?? "none")")
                }
                log("3 \(LoopTask.current?.name ?? "none")")
                try await inner.value
                log("6 \(LoopTask.current?.name ?? "none")")
            }
            log("4 \(LoopTask.current === me)")
            try await outer.value
            #expect(LoopTask.current === me)
            #expect(log.entries == ["1 outer", "2 inner of [\"test\", \"outer\", \"inner\"]", "3 outer", "4 true", "5 inner", "6 outer"])
        }
    }

    @Test func entry51_inACallbackTheCurrentTaskIsTheChildAndThenNoneAgain() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let log = Log()
            try loop.callSoon {
                log(LoopTask.current?.name ?? "none")
                _ = LoopTask(name: "child", eager: true) { log(LoopTask.current?.name ?? "none") }
                log(LoopTask.current?.name ?? "none")
            }
            try await LoopTask.yield()
            #expect(log.entries == ["none", "child", "none"])
        }
    }

    @Test func entry52_theChildHasItsOwnTaskLocals() async throws {
        try await withLoop { () async throws in
            let child = Context.$id.withValue(1) {
                LoopTask(eager: true) {
                    let before = Context.id
                    let inner = Context.$id.withValue(2) { LoopTask(eager: true) { Context.id } }
                    try await LoopTask.yield()
                    return [before, try await inner.value, Context.id]
                }
            }
            #expect(Context.id == 0)
            let seen = try await child.value
            #expect(seen == [1, 2, 1])
        }
    }

    @Test func entry53_cancelAfterAnEagerEndIsRefusedAndAfterAnEagerStepAsUsual() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let done = LoopTask(eager: true) {}
            #expect(!done.cancel())
            #expect(!done.isCancelled)
            let log = Log()
            let waiting = LoopTask(eager: true) {
                do { try await LoopTask.sleep(for: .seconds(3600)) } catch { log("cancelled in turn \(loop.turn)"); throw error }
            }
            let turn = loop.turn
            #expect(waiting.cancel())
            await #expect(throws: CancelledError.self) { try await waiting.value }
            #expect(log.entries == ["cancelled in turn \(turn + 1)"])
        }
    }

    @Test func entry53_aTaskThatCancelsItselfInItsEagerStepIsCancelledAtItsFirstWait() async throws {
        try await withLoop {
            let task = LoopTask(eager: true) {
                LoopTask.current?.cancel()
                try await LoopTask.yield()
            }
            await #expect(throws: CancelledError.self) { try await task.value }
            let ended = LoopTask(eager: true) { () async throws -> Int in
                LoopTask.current?.cancel()
                return 1
            }
            #expect(ended.isCancelled)
        }
    }

    @Test func entry53_aGroupLearnsOfAChildThatEndedEagerly() async throws {
        try await withLoop {
            let error = await #expect(throws: TaskGroupError.self) {
                try await withLoopTaskGroup { group in
                    _ = try group.addTask(eager: true) { 1 }
                    _ = try group.addTask(eager: true) { () async throws -> Int in throw Boom() }
                    try await LoopTask.sleep(for: .seconds(3600))
                }
            }
            #expect(error?.errors as? [Boom] == [Boom()])
        }
    }

    @Test(arguments: [true, false]) func entry53_aChildThatAbortedItsGroupInItsFirstStepIsCancelledToo(eager: Bool) async throws {
        try await withLoop {
            let log = Log()
            let error = await #expect(throws: TaskGroupError.self) {
                try await withLoopTaskGroup { group in
                    _ = try group.addTask(eager: eager) {
                        _ = try group.addTask(eager: eager) { () async throws -> Int in throw Boom() }
                        do {
                            try await LoopTask.yield()
                            try await LoopTask.yield()
                        } catch let error as CancelledError {
                            log("cancelled by the \(error.origin.kind.rawValue)")
                        }
                    }
                }
            }
            #expect(error?.errors as? [Boom] == [Boom()])
            #expect(log.entries == ["cancelled by the task group"])
        }
    }

    @Test func eagerStartsInOneAnotherStopBeforeTheStackDoes() async throws {
        try await withLoop {
            let deepest = Log()
            @Sendable func start(_ depth: Int) -> LoopTask<Void> {
                LoopTask(eager: true) {
                    if depth == 3000 {
                        deepest("\(depth)")
                    } else {
                        try await start(depth + 1).value
                    }
                }
            }
            try await start(1).value
            #expect(deepest.entries == ["3000"])
        }
    }
}
