import Testing
import UVCore
@testable import AsyncUV

@Suite struct StreamWriteTests {
    @Test func aWriteIsWithTheSystemWhenItReturnsAndLaterOnesOfTheTurnAreJoined() async throws {
        try await withPair { near, far in
            try await LoopTask.yield()
            try await near.write([1, 2])
            #expect(near.pendingBytes == 0)
            try await near.write([3])
            try await near.write([4])
            #expect(near.pendingBytes == 2)
            #expect(near.core.inFlight == nil)
            try await LoopTask.yield()
            #expect(near.pendingBytes == 0)
            #expect(near.core.joined == nil)
            #expect(try await far.read(exactly: 4) == [1, 2, 3, 4])
            try await near.write([])
            #expect(near.pendingBytes == 0)
        }
    }

    @Test func sixteenMebibytesReachASlowReaderThroughOneBuffer() async throws {
        try await withPair { near, far in
            let part = counted(0..<65_537)
            var bytes: [UInt8] = []
            while bytes.count < 16 << 20 { bytes += part }
            let highest = Shared(0)
            let writer = LoopTask { [bytes] in
                try await near.write(bytes)
                try near.closeWrite()
            }
            var received: [UInt8] = []
            while let part = try await far.read(atMost: 50_000) {
                received += part
                highest.value = max(highest.value, near.pendingBytes)
                #expect(near.loop.chunks.taken <= 3)
                try await LoopTask.yield()
            }
            try await writer.value
            let isSame = received == bytes
            #expect(isSame)
            #expect(highest.value <= EventLoop.defaultHighWaterMark)
        }
    }

    @Test func fault12_aWriteThatIsCancelledWhileItWaitsHasSentNothing() async throws {
        try await withPair { near, far in
            let sent = Shared<[UInt8]>([])
            let writer = try await near.fillUp(sent)
            #expect(near.pendingBytes <= EventLoop.defaultHighWaterMark)
            writer.cancel()
            await #expect(throws: CancelledError.self) { try await writer.value }
            let closing = LoopTask { try await near.close() }
            #expect(try await far.readAll() == sent.value)
            try await closing.value
        }
    }

    @Test func closeDuringWriteThrowsClosedAndSendsWhatWasAdmitted() async throws {
        try await withPair { near, far in
            let sent = Shared<[UInt8]>([])
            let writer = try await near.fillUp(sent)
            let closing = LoopTask { try await near.close() }
            await expectCode(.closed) { try await writer.value }
            await expectCode(.closed) { try await near.write([1]) }
            #expect(!closing.isDone)
            #expect(try await far.readAll() == sent.value)
            try await closing.value
            try await near.close()
        }
    }

    @Test func fault38_aPeersResetEndsAWriteThatWaits() async throws {
        try await withPair { near, far in
            let writer = try await near.fillUp(Shared([]))
            far.abort()
            await expectCode(.connectionLost) { try await writer.value }
            await expectCode(.connectionLost) { try await near.write([1]) }
            await expectCode(.connectionLost) { try await near.flush() }
            // The loss has been told.
            try await near.close()
        }
    }

    @Test func closeTellsOfBytesThatWereAdmittedAndLost() async throws {
        try await withPair { near, far in
            let writer = try await near.fillUp(Shared([]))
            writer.cancel()
            await #expect(throws: CancelledError.self) { try await writer.value }
            let closing = LoopTask { try await near.close() }
            try await until { closing.isWaiting }
            far.abort()
            await expectCode(.connectionLost) { try await closing.value }
            #expect(near.core.phase == .closed)
        }
    }

    @Test func writersTakeTurnsAndAreNotInterleaved() async throws {
        try await withPair { near, far in
            let writers = (1...4).map { number in
                LoopTask { try await near.write([UInt8](repeating: UInt8(number), count: number == 3 ? 10 : 700_000)) }
            }
            var received: [UInt8] = []
            while received.count < 2_100_010 { received += try #require(try await far.read()) }
            for writer in writers { try await writer.value }
            let expected = [(1, 700_000), (2, 700_000), (3, 10), (4, 700_000)].flatMap { [UInt8](repeating: UInt8($0.0), count: $0.1) }
            let isSame = received == expected
            #expect(isSame)
        }
    }

    @Test func aCancelledWriterLetsTheNextOneGoOn() async throws {
        try await withPair { near, far in
            let sent = Shared<[UInt8]>([])
            let first = try await near.fillUp(sent)
            let second = LoopTask { try await near.write([255]) }
            try await until { second.isWaiting }
            first.cancel()
            await #expect(throws: CancelledError.self) { try await first.value }
            #expect(try await far.read(exactly: sent.value.count + 1) == sent.value + [255])
            try await second.value
        }
    }

    @Test func flushWaitsUntilNothingIsPending() async throws {
        try await withPair { near, far in
            try await near.flush()
            let sent = Shared<[UInt8]>([])
            let writer = try await near.fillUp(sent)
            writer.cancel()
            await #expect(throws: CancelledError.self) { try await writer.value }
            let cancelled = LoopTask { try await near.flush() }
            let flushing = LoopTask { try await near.flush() }
            try await until { cancelled.isWaiting && flushing.isWaiting }
            cancelled.cancel()
            await #expect(throws: CancelledError.self) { try await cancelled.value }
            #expect(near.pendingBytes > 0)
            #expect(try await far.read(exactly: sent.value.count) == sent.value)
            try await flushing.value
            #expect(near.pendingBytes == 0)
        }
    }

    @Test func abortDuringFlushThrowsClosed() async throws {
        try await withPair { near, _ in
            let writer = try await near.fillUp(Shared([]))
            let flushing = LoopTask { try await near.flush() }
            try await until { flushing.isWaiting }
            near.abort()
            await expectCode(.closed) { try await flushing.value }
            await expectCode(.closed) { try await writer.value }
        }
    }

    @Test func aCloseThatIsCancelledClosesAtOnce() async throws {
        try await withPair { near, _ in
            let writer = try await near.fillUp(Shared([]))
            let closing = LoopTask { try await near.close() }
            let waiting = LoopTask { try await near.waitClosed() }
            let cancelled = LoopTask { try await near.waitClosed() }
            try await until { closing.isWaiting && waiting.isWaiting && cancelled.isWaiting }
            cancelled.cancel()
            await #expect(throws: CancelledError.self) { try await cancelled.value }
            #expect(near.core.phase == .closing)
            closing.cancel()
            await #expect(throws: CancelledError.self) { try await closing.value }
            #expect(near.core.phase == .closed)
            try await waiting.value
            await expectCode(.closed) { try await writer.value }
        }
    }

    @Test func fault37_halvesCloseIndependentlyInEitherOrder() async throws {
        for nearFirst in [true, false] {
            try await withPair { near, far in
                let (first, second) = nearFirst ? (near, far) : (far, near)
                try await first.write([1])
                try await first.write([2])
                try first.closeWrite()
                try first.closeWrite()
                await expectCode(.closed) { try await first.write([3]) }
                #expect(try await second.readAll() == [1, 2])
                try await second.write([4])
                #expect(try await first.read() == [4])
                try await second.write([5])
                try second.closeWrite()
                #expect(try await first.readAll() == [5])
                #expect(try await second.read() == nil)
                try await first.close()
                try await second.close()
                await expectCode(.closed) { try first.closeWrite() }
            }
        }
    }

    /// Whatever the system calls it: shutdown(2) says ENOTCONN.
    @Test func fault38_everyOperationAfterAPeersResetIsAConnectionLost() async throws {
        for operation in 0..<3 {
            try await withPair { near, far in
                let reader = LoopTask { try await near.read() }
                try await until { reader.isWaiting }
                far.abort()
                await expectCode(.connectionLost) { try await reader.value }
                await expectCode(.connectionLost) {
                    switch operation {
                    case 0: try near.closeWrite()
                    case 1: try await near.write("x".utf8)
                    default: _ = try await near.read()
                    }
                }
                try await near.close()
            }
        }
    }

    @Test func fault37_closeWriteComesAfterWhatIsQueuedAndEndsWritersThatWait() async throws {
        try await withPair { near, far in
            let sent = Shared<[UInt8]>([])
            let writer = try await near.fillUp(sent)
            try near.closeWrite()
            await expectCode(.closed) { try await writer.value }
            #expect(near.pendingBytes > 0)
            #expect(try await far.readAll() == sent.value)
            try await far.write([1])
            #expect(try await near.read() == [1])
        }
    }

    @Test func closeSendsWhatWasWritten() async throws {
        try await withPair { near, far in
            try await near.write([1])
            try await near.write([2])
            try await near.close()
            #expect(try await far.readAll() == [1, 2])
        }
    }

    @Test func theHighWaterMarkIsTheStreams() async throws {
        try await withPair { near, far in
            try near.setHighWaterMark(200_000)
            // The kernel may take some more at any moment. But when a write had to wait, the ones before it had filled the stream.
            let highest = Shared(0)
            let writer = LoopTask {
                while true {
                    try await near.write([UInt8](repeating: 1, count: 10_000))
                    highest.value = max(highest.value, near.pendingBytes)
                }
            }
            try await until { writer.isWaiting && highest.value > 190_000 }
            #expect(highest.value <= 200_000)
            await expectCode(.misuse) { try near.setHighWaterMark(0) }
            near.abort()
            await expectCode(.closed) { try await writer.value }
            await expectCode(.closed) { try near.setHighWaterMark(1) }
        }
    }

    @Test func aStreamThatIsLetGoOfIsClosedAndReportedOnce() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let log = Log()
            loop.setReportHandler { log("\($0)") }
            var pair: (near: TCPStream, far: TCPStream)? = try await connectedPair()
            let far = try #require(pair?.far)
            let line = try #require(pair?.near.core.line)
            pair = nil
            #expect(try await far.read() == nil)
            far.abort()
            #expect(log.entries.count == 1)
            #expect(log.entries.first?.contains("never closed") == true)
            #expect(log.entries.first?.contains("Pair.swift:\(line)") == true)
        }
    }

    @Test func fault20_aStreamThatIsLetGoOfOnAnotherThreadIsClosedOnItsLoop() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let log = Log()
            loop.setReportHandler { log("\($0)") }
            let box = Shared<TCPStream?>(nil)
            let far: TCPStream
            (box.value, far) = try await connectedPair()
            await Task.detached { box.value = nil }.value
            #expect(try await far.read() == nil)
            far.abort()
            #expect(log.entries.count == 1)
        }
    }
}
