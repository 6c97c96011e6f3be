import Testing
@testable import AsyncUV

@Suite struct TaskGroupTests {
    @Test func entry73_theFirstErrorCancelsTheOthersAndComesAsATree() async throws {
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

    @Test func entry72_theEndWaitsForChildrenThatChildrenAdd() async throws {
        try await withLoop {
            let log = Log()
            try await withLoopTaskGroup { group in
                try group.addTask {
                    try await LoopTask.sleep(for: .seconds(1))
                    try group.addTask {
                        try await LoopTask.sleep(for: .seconds(1))
                        log("grandchild")
                    }
                }
            }
            log("end")
            #expect(log.entries == ["grandchild", "end"])
        }
    }

    @Test func entry74_aChildThatIsCancelledIsNoError() async throws {
        try await withLoop {
            let value = try await withLoopTaskGroup { group in
                let child = try group.addTask { try await LoopTask.sleep(for: .seconds(100)) }
                try await LoopTask.sleep(for: .seconds(1))
                child.cancel()
                return 7
            }
            #expect(value == 7)
        }
    }

    @Test func entry75_aFailingBodyAbortsTheGroupAndIsWrapped() async throws {
        try await withLoop {
            var child: LoopTask<Void>?
            let error = await #expect(throws: TaskGroupError.self) {
                try await withLoopTaskGroup { group in
                    child = try group.addTask { try await LoopTask.sleep(for: .seconds(100)) }
                    try await LoopTask.sleep(for: .seconds(1))
                    throw Boom(name: "body")
                }
            }
            #expect(error?.errors as? [Boom] == [Boom(name: "body")])
            #expect(child?.isCancelled == true)
        }
    }

    @Test func entry76_aCancelFromOutsideCancelsTheChildrenAndComesOutBare() async throws {
        try await withLoop {
            let children = Log()
            let task = LoopTask {
                try await withLoopTaskGroup { group in
                    for _ in 0..<3 {
                        try group.addTask {
                            do { try await LoopTask.sleep(for: .seconds(100)) } catch {
                                children("cancelled")
                                throw error
                            }
                        }
                    }
                }
            }
            try await LoopTask.sleep(for: .seconds(1))
            task.cancel(message: "outside")
            let error = await #expect(throws: CancelledError.self) { try await task.value }
            #expect(error?.message == "outside" && children.entries.count == 3)
        }
    }

    @Test func entry77_errorsReplaceACancelFromOutsideWhichComesAtTheNextWait() async throws {
        try await withLoop {
            let log = Log()
            let task = LoopTask {
                do {
                    try await withLoopTaskGroup { group in
                        try group.addTask {
                            do { try await LoopTask.sleep(for: .seconds(100)) } catch { throw Boom() }
                        }
                    }
                } catch let error as TaskGroupError {
                    log("\(error.errors.count) error, \(LoopTask.current?.cancelling() ?? -1) request")
                }
                try await LoopTask.sleep(for: .seconds(1))
            }
            try await LoopTask.sleep(for: .seconds(1))
            task.cancel(message: "outside")
            let error = await #expect(throws: CancelledError.self) { try await task.value }
            #expect(error?.message == "outside")
            #expect(log.entries == ["1 error, 1 request"])
        }
    }

    @Test func entry78_theGroupsOwnCancelDoesNotLeakOut() async throws {
        try await withLoop {
            await #expect(throws: TaskGroupError.self) {
                try await withLoopTaskGroup { group in
                    try group.addTask { throw Boom() }
                    try await LoopTask.sleep(for: .seconds(100))
                }
            }
            #expect(LoopTask.current?.cancelling() == 0)
            try await LoopTask.sleep(for: .seconds(1))
        }
    }

    @Test func entry79_aBodyThatSwallowsTheGroupsCancelRunsOnAndStillGetsTheErrors() async throws {
        try await withLoop {
            let log = Log()
            await #expect(throws: TaskGroupError.self) {
                try await withLoopTaskGroup { group in
                    try group.addTask { throw Boom() }
                    do { try await LoopTask.sleep(for: .seconds(100)) } catch {}
                    try await LoopTask.sleep(for: .seconds(1))
                    log("went on")
                }
            }
            #expect(log.entries == ["went on"])
        }
    }

    @Test func entry80_aGroupThatEndedOrAbortsTakesNoTasks() async throws {
        try await withLoop {
            var kept: LoopTaskGroup?
            try await withLoopTaskGroup { group in kept = group }
            let ended = #expect(throws: LoopError.self) { try kept?.addTask {} }
            #expect(ended?.description.contains("has ended") == true)
            await #expect(throws: TaskGroupError.self) {
                try await withLoopTaskGroup { group in
                    try group.addTask { throw Boom() }
                    do { try await LoopTask.sleep(for: .seconds(100)) } catch {
                        let aborting = #expect(throws: LoopError.self) { try group.addTask {} }
                        #expect(aborting?.description.contains("shutting down") == true)
                    }
                }
            }
        }
    }

    @Test func entry82_aChildThatRefusesDelaysTheEnd() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            var stubborn: LoopTask<Int>?
            await #expect(throws: TaskGroupError.self) {
                try await withLoopTaskGroup { group in
                    stubborn = try group.addTask {
                        do { try await LoopTask.sleep(for: .seconds(100)) } catch {}
                        try await LoopTask.sleep(for: .seconds(5))
                        return 7
                    }
                    try await LoopTask.yield()
                    throw Boom()
                }
            }
            #expect(loop.now.nanoseconds == 5_000_000_000)
            #expect(try stubborn?.result() == 7)
        }
    }

    @Test func entry83_cancelEndsTheGroupWithoutAnError() async throws {
        try await withLoop {
            var child: LoopTask<Void>?
            try await withLoopTaskGroup { group in
                child = try group.addTask { try await LoopTask.sleep(for: .seconds(100)) }
                try await LoopTask.sleep(for: .seconds(1))
                group.cancel()
                group.cancel()
                try await LoopTask.sleep(for: .seconds(100))
                Issue.record("the body was not cancelled")
            }
            #expect(child?.isCancelled == true)
            #expect(LoopTask.current?.cancelling() == 0)
        }
    }

    @Test func entry83_errorsComeOutOfACancelledGroupAllTheSame() async throws {
        try await withLoop {
            await #expect(throws: TaskGroupError.self) {
                try await withLoopTaskGroup { group in
                    try group.addTask {
                        do { try await LoopTask.sleep(for: .seconds(100)) } catch { throw Boom() }
                    }
                    try await LoopTask.sleep(for: .seconds(1))
                    group.cancel()
                }
            }
        }
    }

    @Test func entry83_aCancelFromOutsideThatComesAfterTheGroupsOwnIsNotSwallowed() async throws {
        try await withLoop {
            let task = LoopTask {
                try await withLoopTaskGroup { group in
                    try group.addTask {
                        do { try await LoopTask.sleep(for: .seconds(100)) } catch {
                            try await LoopTask.sleep(for: .seconds(5))
                        }
                    }
                    try await LoopTask.sleep(for: .seconds(1))
                    group.cancel()
                }
            }
            try await LoopTask.sleep(for: .seconds(3))
            task.cancel(message: "outside")
            let error = await #expect(throws: CancelledError.self) { try await task.value }
            #expect(error?.message == "outside" && task.isCancelled)
        }
    }

    @Test func aGroupWithoutItsValueSaysSo() async throws {
        try await withLoop {
            await #expect(throws: CancelledError.self) {
                _ = try await withLoopTaskGroup { group -> Int in
                    group.cancel()
                    try await LoopTask.sleep(for: .seconds(1))
                    return 7
                }
            }
        }
    }

    @Test func theErrorsOfNestedGroupsPrintAsATree() {
        let error = TaskGroupError(errors: [Boom(name: "a"), TaskGroupError(errors: [Boom(name: "b"), Boom(name: "c")])])
        #expect(
            error.description == """
                errors in a task group (2):
                ├─ Boom(name: "a")
                └─ errors in a task group (2):
                   ├─ Boom(name: "b")
                   └─ Boom(name: "c")
                """)
    }
}
