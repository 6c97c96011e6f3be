import Foundation
import Testing
import UVCore
@testable import AsyncUV

@Suite struct RunBlockingTests {
    @Test func entry109_blockingCodeRunsElsewhereAndGivesItsValue() async throws {
        try await withLoop {
            let here = ThisThread.id
            let elsewhere = try await LoopTask.runBlocking { ThisThread.id != here }
            #expect(elsewhere)
            await #expect(throws: Boom.self) { try await LoopTask.runBlocking { throw Boom() } }
        }
    }

    @Test func entry109_aCancelledCallIsLeftAtOnceAndGoesOn() async throws {
        try await withLoop {
            let loop = try #require(EventLoop.current)
            let gate = DispatchSemaphore(value: 0)
            let began = DispatchSemaphore(value: 0)
            let finished = DispatchSemaphore(value: 0)
            let caller = LoopTask {
                try await LoopTask.runBlocking {
                    began.signal()
                    gate.wait()
                    finished.signal()
                }
            }
            try await LoopTask.runBlocking { began.wait() }
            let turn = loop.turn
            #expect(caller.cancel())
            await #expect(throws: CancelledError.self) { try await caller.value }
            #expect(loop.turn <= turn + 2)
            gate.signal()
            try await LoopTask.runBlocking { finished.wait() }
        }
    }

    @Test func entry109_aCallThatHasNotBegunNeverBegins() async throws {
        let ran = Log()
        try await withLoop {
            let gate = DispatchSemaphore(value: 0)
            let busy = (0..<EventLoop.blockingThreadLimit).map { _ in
                LoopTask { try await LoopTask.runBlocking { gate.wait() } }
            }
            let queued = LoopTask { try await LoopTask.runBlocking { ran("queued") } }
            try await LoopTask.yield()
            try await LoopTask.yield()
            queued.cancel()
            await #expect(throws: CancelledError.self) { try await queued.value }
            for _ in busy { gate.signal() }
            for call in busy { try await call.value }
        }
        #expect(ran.entries.isEmpty)
    }

    @Test func aPlainTaskCanRunBlockingCode() async throws {
        try await withLoop {
            async let value = LoopTask.runBlocking { 7 }
            let seven = try await value
            #expect(seven == 7)
        }
    }

    @Test(.timeLimit(.minutes(5))) func manyJobsThatAreTakenBackLeaveTheOthersInOrder() async throws {
        let log = Log()
        try await onOwnThread {
            let queue = WorkQueue(limit: 1)
            let gate = DispatchSemaphore(value: 0)
            _ = try queue.submit { gate.wait() }
            // A search for each would take minutes.
            let jobs = try (0..<200_000).map { number in try queue.submit { log("\(number)") } }
            // Counted, because 200,000 expectations take minutes under a sanitizer.
            let taken = jobs.indices.reversed().filter { $0 % 50_000 != 0 && queue.withdraw(jobs[$0]) }
            #expect(taken.count == 199_996)
            #expect(!queue.withdraw(jobs[1]))
            let end = DispatchSemaphore(value: 0)
            _ = try queue.submit { end.signal() }
            gate.signal()
            end.wait()
            #expect(!queue.withdraw(jobs[0]))
        }
        #expect(log.entries == ["0", "50000", "100000", "150000"])
    }
}
