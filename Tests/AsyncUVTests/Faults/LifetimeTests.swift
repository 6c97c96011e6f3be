import Foundation
import Testing
import UVCore
@testable import AsyncUV

/// What is let go of in the middle of its own use, or on another thread.
@Suite struct LifetimeTests {
    /// The abort is posted, and the loop's thread lets go of the stream before it has looked.
    @Test func anAbortFromAnotherThreadIsNotOvertakenByTheLastReferencesEnd() async throws {
        try await withLoop(clock: .system) {
            let (held, far) = try await boxed()
            abortElsewhere(held)
            await expectCode(.connectionLost) { try await far.read() }
            far.abort()
        }
    }

    private func abortElsewhere(_ held: Shared<TCPStream?>) {
        let done = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            held.value?.abort()
            done.signal()
        }
        done.wait()
        held.value = nil
    }

    /// A stream of which the test has the only reference, in a box, and its other end.
    private func boxed() async throws -> (Shared<TCPStream?>, TCPStream) {
        let (near, far) = try await connectedPair()
        return (Shared(near), far)
    }

    @Test func fault19_aStreamIsLetGoOfInsideItsOwnCalls() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let log = Log()
            loop.setReportHandler { log("\($0.message)") }
            // What looks at its bytes drops it; it is there until the call returns.
            var (box, far) = try await boxed()
            try await far.write("abc".utf8)
            let used = try await box.value?.withBytes(atLeast: 3) { bytes in
                box.value = nil
                return bytes.count
            }
            #expect(used == 3)
            #expect(try await far.read() == nil)
            far.abort()
            // A task that waits to read has it; nobody else does, and then that one goes.
            for ending in 0..<3 {
                (box, far) = try await boxed()
                let reader = LoopTask { [box] in try await box.value?.read() }
                try await until { reader.isWaiting }
                box.value = nil
                switch ending {
                case 0:
                    try await far.write("x".utf8)
                    #expect(try await reader.value == Array("x".utf8))
                case 1:
                    reader.cancel()
                    await #expect(throws: CancelledError.self) { try await reader.value }
                default:
                    far.abort()
                    await expectCode(.connectionLost) { try await reader.value }
                }
                if ending < 2 { #expect(try await far.read() == nil) }
                far.abort()
            }
            // The same with what it is about to write, and with the end itself.
            (box, far) = try await boxed()
            let writer = LoopTask { [box] in try await box.value?.write([UInt8](repeating: 1, count: 30_000_000)) }
            try await until { writer.isWaiting }
            box.value = nil
            // A write ends when all is admitted. What is still queued then is lost with the stream, as its report says.
            #expect(try await far.readAll().count >= 30_000_000 - EventLoop.defaultHighWaterMark)
            try await writer.value
            far.abort()
            (box, far) = try await boxed()
            _ = try box.value?.tryWrite([UInt8](repeating: 1, count: 60_000).span)
            let closing = LoopTask { [box] in try await box.value?.close() }
            try await LoopTask.yield()
            box.value = nil
            #expect(try await far.readAll().count == 60_000)
            try await closing.value
            far.abort()
            #expect(log.entries.count == 5, "\(log.entries)")
            try await until { loop.chunks.taken == 0 && loop.uv?.openHandles()["tcp"] == nil }
        }
    }

    @Test func fault19_aListenerIsLetGoOfByTheOnlyOneWhoAccepts() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let log = Log()
            loop.setReportHandler { log("\($0.message)") }
            for ending in 0..<3 {
                let box = Shared<TCPListener?>(try TCPListener.listen(host: "127.0.0.1", port: 0))
                let address = try #require(box.value).address
                let accepting = LoopTask { try await box.value?.accept() }
                try await until { accepting.isWaiting }
                if ending == 2 { box.value?.close() }
                box.value = nil
                switch ending {
                case 0:
                    let client = try await TCPStream.connect(to: address)
                    try await accepting.value?.abort()
                    client.abort()
                case 1:
                    accepting.cancel()
                    await #expect(throws: CancelledError.self) { try await accepting.value }
                default: await expectCode(.closed) { try await accepting.value }
                }
                #expect(try await refusal(at: address).code == .system)
            }
            #expect(log.entries.count == 2, "\(log.entries)")
        }
    }

    @Test func fault19_callbacksLetGoOfWhatCallsThem() async throws {
        let log = Log()
        try await withBareLoop { loop in
            let box = Shared<AnyObject?>(nil)
            @Sendable func drop(_ name: String) {
                box.value = nil
                log(name)
            }
            box.value = try loop.callSoon { drop("callSoon") }
            _ = try loop.runUntilIdle()
            box.value = try loop.callLater(.milliseconds(1)) { drop("callLater") }
            _ = try loop.runUntilIdle()
            box.value = try loop.callSoonThreadsafe { drop("callSoonThreadsafe") }
            _ = try loop.runUntilIdle()
            let future = try Future<Int>(on: loop)
            future.addDoneCallback { _ in drop("done callback") }
            try future.setResult(1)
            box.value = future
            _ = try loop.runUntilIdle()
            // The handler is replaced while it runs, and what goes with it has a report of its own.
            loop.setReportHandler { _ in
                loop.setReportHandler { _ in log("second handler") }
                log("first handler")
            }
            try loop.callSoon { throw Boom() }
            try loop.callSoon { throw Boom() }
            _ = try loop.runUntilIdle()
            loop.setReportHandler(nil)
            let tasks = Shared<[LoopTask<Void>]>([])
            tasks.value = [
                LoopTask(on: loop) {
                    tasks.value = []
                    try await LoopTask.yield()
                    log("task")
                }
            ]
            _ = try loop.runUntilIdle()
        }
        #expect(log.entries == ["callSoon", "callLater", "callSoonThreadsafe", "done callback", "first handler", "second handler", "task"])
    }

    /// The loop itself goes in a callback of its own, and its last reference with its last task.
    @Test func fault19_aLoopIsLetGoOfInsideItsOwnRun() async throws {
        try await onOwnThread {
            weak var gone: EventLoop?
            do {
                let box = Shared<EventLoop?>(try EventLoop())
                gone = box.value
                try box.value?.callLater(.milliseconds(1)) {
                    let loop = box.value
                    box.value = nil
                    loop?.stop()
                }
                try box.value?.runForever()
                #expect(box.value == nil)
            }
            #expect(gone == nil)
        }
    }

    @Test func fault20_whateverIsLetGoOfOnAnotherThreadIsClosedOnItsLoop() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let log = Log()
            loop.setReportHandler { log("\($0.message)") }
            var rounds = 0
            for round in 0..<100 {
                let (near, far) = try await connectedPair()
                let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
                // With bytes on their way, and a read that is armed.
                try await far.write("abc".utf8)
                #expect(try await near.read(atMost: 1) == Array("a".utf8))
                for _ in 0..<2 { try await near.write([UInt8](repeating: 1, count: 1000)) }
                let things = Shared<[AnyObject]>([near, far, listener, try Future<Int>(), try loop.callLater(.seconds(3600)) {}, try Lock()])
                (things.value[4] as? TimerHandle)?.cancel()
                rounds = round + 1
                try await handOver(things)
            }
            // Posted in their order by threads that are gone: three reports a round.
            try await until { log.entries.count == rounds * 3 }
            try await until { loop.uv?.openHandles()["tcp"] == nil && loop.uv?.openHandles()["poll"] == nil && loop.chunks.taken == 0 }
        }
    }

    private func handOver(_ things: Shared<[AnyObject]>) async throws {
        // The references of this task are gone with the call above; the last ones go on the other thread, while the loop runs.
        _ = try await LoopTask.runBlocking { things.value = [] }
    }

    @Test(arguments: 0..<20) func fault20_lettingGoOnAnotherThreadRacesTheCloseOfTheLoop(round: Int) async throws {
        try await onOwnThread {
            let loop = try EventLoop()
            loop.setReportHandler { _ in }
            let task = LoopTask(on: loop) {
                var streams: [AnyObject] = []
                for _ in 0..<5 {
                    let (near, far) = try await connectedPair()
                    streams += [near, far]
                }
                return Shared(streams)
            }
            let box = try loop.runUntilComplete(task)
            let started = DispatchSemaphore(value: 0), done = DispatchSemaphore(value: 0)
            Thread {
                started.signal()
                while !box.value.isEmpty { box.value.removeLast() }
                done.signal()
            }.start()
            started.wait()
            for _ in 0..<round % 5 {
                loop.stop()
                try loop.runForever()
            }
            try loop.close()
            done.wait()
        }
    }
}
