import Testing
@testable import AsyncUV

@Suite struct TimeoutTests {
    @Test func entry64_aBodyThatTakesTooLongThrowsTimeoutError() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let error = await #expect(throws: TimeoutError.self) {
                try await withTimeout(.seconds(5)) { try await LoopTask.sleep(for: .seconds(10)) }
            }
            #expect(loop.now == LoopInstant(nanoseconds: 5_000_000_000))
            #expect(LoopTask.current?.cancelling() == 0)
            #expect(error?.cause?.origin.kind == .timeout)
            #expect(error?.description.contains("TimeoutTests.swift") == true)
        }
    }

    @Test func aBodyThatEndsInTimeKeepsNoTimer() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            var seen: Timeout?
            let value = try await withTimeout(.seconds(5)) { timeout in
                seen = timeout
                try await LoopTask.sleep(for: .seconds(1))
                return 7
            }
            #expect(value == 7)
            #expect(seen?.state == .finished && seen?.isExpired == false)
            #expect(loop.statistics.armedTimers == 0)
        }
    }

    @Test func aDeadlineIsAnInstantOfTheLoopsClock() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let deadline = loop.now.advanced(by: .seconds(2))
            let error = await #expect(throws: TimeoutError.self) {
                try await withTimeout(until: deadline) { try await LoopTask.sleep(for: .seconds(10)) }
            }
            #expect(error?.deadline == deadline)
        }
    }

    @Test func entry63_aTimeoutOutsideALoopTaskIsMisuse() async throws {
        await #expect(throws: LoopError.self) { try await withTimeout(.seconds(1)) {} }
    }

    @Test func entry63_onlyAnActiveTimeoutCanBeMoved() async throws {
        try await withLoop {
            var kept: Timeout?
            try await withTimeout(.seconds(5)) { timeout in
                kept = timeout
                #expect(timeout.state == .active)
            }
            let finished = #expect(throws: LoopError.self) { try kept?.reschedule(to: nil) }
            #expect(finished?.code == .misuse && finished?.description.contains("finished") == true)

            await #expect(throws: TimeoutError.self) {
                try await withTimeout(.seconds(1)) { timeout in
                    kept = timeout
                    do {
                        try await LoopTask.sleep(for: .seconds(5))
                    } catch {
                        #expect(timeout.state == .expiring)
                        let expiring = #expect(throws: LoopError.self) { try timeout.reschedule(to: nil) }
                        #expect(expiring?.description.contains("expiring") == true)
                        throw error
                    }
                }
            }
            let expired = #expect(throws: LoopError.self) { try kept?.reschedule(to: nil) }
            #expect(expired?.description.contains("expired") == true)
        }
    }

    @Test func entry65_ofNestedTimeoutsThatExpireTogetherTheOutermostThrows() async throws {
        try await withLoop {
            let log = Log()
            var inner: Timeout?
            var outer: Timeout?
            do {
                try await withTimeout(.seconds(1)) { timeout in
                    outer = timeout
                    do {
                        try await withTimeout(.seconds(1)) { timeout in
                            inner = timeout
                            try await LoopTask.sleep(for: .seconds(10))
                        }
                    } catch {
                        log("inner: \(type(of: error))")
                        throw error
                    }
                }
            } catch {
                log("outer: \(type(of: error))")
            }
            #expect(log.entries == ["inner: CancelledError", "outer: TimeoutError"])
            #expect(inner?.isExpired == true && outer?.isExpired == true)
            #expect(LoopTask.current?.cancelling() == 0)
        }
    }

    @Test func entry66_aCancelFromOutsideThatComesWithTheTimeoutWins() async throws {
        try await withLoop {
            let task = LoopTask {
                try await withTimeout(.seconds(1)) { try await LoopTask.sleep(for: .seconds(10)) }
            }
            let canceller = try #require(EventLoop.current).callLater(.seconds(1)) { task.cancel() }
            await #expect(throws: CancelledError.self) { try await task.value }
            #expect(task.isCancelled)
            canceller.cancel()
        }
    }

    @Test func entry67_anErrorOfTheBodyPassesUnchanged() async throws {
        try await withLoop {
            var kept: Timeout?
            await #expect(throws: Boom.self) {
                try await withTimeout(.seconds(1)) { timeout in
                    kept = timeout
                    do { try await LoopTask.sleep(for: .seconds(10)) } catch { throw Boom() }
                }
            }
            #expect(kept?.isExpired == true)
            #expect(LoopTask.current?.cancelling() == 0)
        }
    }

    @Test func entry68_aBodyThatNeverSuspendsAgainIsNotTimedOut() async throws {
        try await withLoop {
            var kept: Timeout?
            let value = try await withTimeout(.zero) { timeout in
                kept = timeout
                return 7
            }
            #expect(value == 7 && kept?.isExpired == false)
        }
    }

    @Test func entry69_aBodyThatSwallowsTheCancellationIsNotTimedOutButExpired() async throws {
        try await withLoop {
            var kept: Timeout?
            try await withTimeout(.seconds(1)) { timeout in
                kept = timeout
                do { try await LoopTask.sleep(for: .seconds(10)) } catch {}
            }
            #expect(kept?.isExpired == true)
            #expect(LoopTask.current?.cancelling() == 0)
        }
    }

    @Test func entry70_noTimeCancelsTheFirstWaitThatSuspends() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            await #expect(throws: TimeoutError.self) { try await withTimeout(.zero) { try await LoopTask.yield() } }
            await #expect(throws: TimeoutError.self) {
                try await withTimeout(until: loop.now.advanced(by: .seconds(-5))) { try await LoopTask.sleep(for: .seconds(1)) }
            }
            #expect(loop.now.nanoseconds == 0)
        }
    }

    @Test func entry70_aTimeoutWithoutADeadlineCanGetOneLater() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            await #expect(throws: TimeoutError.self) {
                try await withTimeout(nil) { timeout in
                    try await LoopTask.sleep(for: .seconds(100))
                    try timeout.reschedule(to: loop.now.advanced(by: .seconds(1)))
                    try await LoopTask.sleep(for: .seconds(100))
                }
            }
            #expect(loop.now.nanoseconds == 101_000_000_000)
        }
    }

    @Test func aTimeoutThatIsMovedAwayDoesNotFire() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            try await withTimeout(.seconds(1)) { timeout in
                try timeout.reschedule(to: loop.now.advanced(by: .seconds(100)))
                try await LoopTask.sleep(for: .seconds(10))
                try timeout.reschedule(to: nil)
                try await LoopTask.sleep(for: .seconds(1000))
            }
        }
    }

    @Test func entry71_aCancelThatWasNotDeliveredBeforeIsNotTheTimeouts() async throws {
        try await withLoop {
            let task = LoopTask {
                LoopTask.current?.cancel(message: "from outside")
                try await withTimeout(.zero) { try await LoopTask.sleep(for: .seconds(1)) }
            }
            let error = await #expect(throws: CancelledError.self) { try await task.value }
            #expect(error?.message == "from outside")
            #expect(task.isCancelled)
        }
    }

    @Test func anExtremeTimeoutNeverWraps() async throws {
        try await withLoop {
            let value = try await withTimeout(Duration(secondsComponent: .max, attosecondsComponent: 0)) {
                try await LoopTask.sleep(for: .seconds(1))
                return 7
            }
            #expect(value == 7)
        }
    }
}
