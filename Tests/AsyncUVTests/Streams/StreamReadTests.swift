import Testing
import UVCore
@testable import AsyncUV

@Suite struct StreamReadTests {
    @Test func readTakesWhatIsThereAndNilIsTheEnd() async throws {
        try await withPair { near, far in
            try await far.write("hello".utf8)
            #expect(try await near.read(atMost: 2) == Array("he".utf8))
            #expect(try await near.read() == Array("llo".utf8))
            try await far.close()
            #expect(try await near.read() == nil)
            #expect(try await near.read() == nil)
        }
    }

    @Test func fault38_aConnectionThatWasBrokenOffDoesNotLookLikeItsEnd() async throws {
        try await withPair { near, far in
            // More than one buffer, and not a whole number of them, read only when the reset has come: libuv says that the stream has ended.
            try await far.write([UInt8](repeating: 7, count: 150_000))
            #expect(try await near.withBytes { _ in 0 } == 0)
            far.abort()
            await expectCode(.connectionLost) { while try await near.read() != nil {} }
            await expectCode(.connectionLost) { try await near.read() }
        }
    }

    @Test func anIdleConnectionWithAParkedReaderHoldsNoBuffer() async throws {
        try await withPair { near, far in
            let reader = LoopTask { try await near.read() }
            try await until { reader.isWaiting }
            #expect(near.loop.chunks.taken == 0)
            try await far.write([1])
            #expect(try await reader.value == [1])
            #expect(near.loop.chunks.taken == 0)
        }
    }

    @Test func cancelDuringReadLosesNothing() async throws {
        try await withPair { near, far in
            let reader = LoopTask { try await near.read() }
            try await until { reader.isWaiting }
            reader.cancel()
            await #expect(throws: CancelledError.self) { try await reader.value }
            try await far.write([1, 2, 3])
            #expect(try await near.read() == [1, 2, 3])
        }
    }

    @Test func fault01_aReaderThatIsCancelledAfterItWasWokenLeavesTheBytes() async throws {
        try await withPair { near, far in
            let reader = LoopTask { try await near.read() }
            try await until { reader.isWaiting }
            try await far.write([1, 2, 3])
            // The reader wakes in a poll; whatever runs before it in the turn after that can still cancel it.
            let loop = near.loop
            let cancelled = Shared(false)
            func look() {
                if near.core.available == 3 {
                    cancelled.value = reader.cancel()
                } else {
                    loop.ready.append(.call { look() })
                }
            }
            loop.ready.append(.call { look() })
            await #expect(throws: CancelledError.self) { try await reader.value }
            #expect(cancelled.value)
            #expect(try await near.read() == [1, 2, 3])
        }
    }

    @Test func closeDuringReadThrowsClosed() async throws {
        try await withPair { near, _ in
            let reader = LoopTask { try await near.read() }
            try await until { reader.isWaiting }
            try await near.close()
            await expectCode(.closed) { try await reader.value }
            await expectCode(.closed) { try await near.read() }
        }
    }

    @Test func fault38_aPeersResetEndsTheReadOnThatConnectionOnly() async throws {
        try await withPair { near, far in
            let (other, otherFar) = try await connectedPair()
            let reader = LoopTask { try await near.read() }
            let otherReader = LoopTask { try await other.read() }
            try await until { reader.isWaiting && otherReader.isWaiting }
            far.abort()
            await expectCode(.connectionLost) { try await reader.value }
            await expectCode(.connectionLost) { try await near.read() }
            try await otherFar.write([7])
            #expect(try await otherReader.value == [7])
            other.abort()
            otherFar.abort()
        }
    }

    @Test func aSecondReaderIsRefusedAndTheFirstOneIsNotDisturbed() async throws {
        try await withPair { near, far in
            let reader = LoopTask(name: "first") { try await near.read(exactly: 4) }
            try await until { reader.isWaiting }
            await expectCode(.busy) { try await near.read() }
            await expectCode(.busy) { try await near.read(exactly: 1) }
            await expectCode(.busy) { try await near.withBytes { $0.count } }
            try await far.write([1, 2])
            try await until { near.core.available == 2 }
            await expectCode(.busy) { try await near.read() }
            try await far.write([3, 4])
            #expect(try await reader.value == [1, 2, 3, 4])
        }
    }

    @Test(arguments: [1, 1000, 65_536, 65_537, 300_000])
    func readExactlyWaitsForAll(count: Int) async throws {
        try await withPair { near, far in
            let expected = counted(0..<count)
            let writer = LoopTask {
                for start in stride(from: 0, to: count, by: 7_001) {
                    try await far.write(Array(expected[start..<min(start + 7_001, count)]))
                    try await LoopTask.yield()
                }
                try await far.write([9])
            }
            #expect(try await near.read(exactly: count) == expected)
            #expect(try await near.read(exactly: 1) == [9])
            try await writer.value
        }
    }

    @Test func readExactlyThatIsCancelledLeavesWhatCame() async throws {
        try await withPair { near, far in
            let reader = LoopTask { try await near.read(exactly: 100_000) }
            try await far.write(counted(0..<90_000))
            try await far.flush()
            try await until { near.core.available == 90_000 }
            reader.cancel()
            await #expect(throws: CancelledError.self) { try await reader.value }
            #expect(try await near.read(exactly: 90_000) == counted(0..<90_000))
        }
    }

    @Test func readExactlyAtTheEndSaysHowManyCameAndLeavesThem() async throws {
        try await withPair { near, far in
            try await far.write([1, 2, 3])
            try await far.close()
            let error = await #expect(throws: LoopError.self) { try await near.read(exactly: 5) }
            #expect(error?.code == .unexpectedEnd)
            #expect(error?.detail.contains("3 of 5") == true)
            #expect(try await near.read() == [1, 2, 3])
            #expect(try await near.read() == nil)
        }
    }

    @Test func closeDuringReadExactlyThrowsClosed() async throws {
        try await withPair { near, far in
            try await far.write([1])
            let reader = LoopTask { try await near.read(exactly: 2) }
            try await until { near.core.available == 1 }
            near.abort()
            await expectCode(.closed) { try await reader.value }
        }
    }

    @Test func withBytesSeesAllThereIsAndUsesAsMuchAsItSays() async throws {
        try await withPair { near, far in
            try await far.write("ab\ncd\n".utf8)
            let used = try await near.withBytes(atLeast: 6) { $0[2] == 10 ? 3 : 0 }
            #expect(used == 3)
            let unused = try await near.withBytes { $0[0] == 99 ? 0 : 1 }
            #expect(unused == 0)
            #expect(try await near.read() == Array("cd\n".utf8))
            let more = LoopTask { try await near.withBytes(atLeast: 65_536) { $0.count } }
            try await until { more.isWaiting }
            try await far.write([UInt8](repeating: 1, count: 65_536))
            try await far.close()
            #expect(try await more.value == 65_536)
            #expect(try await near.withBytes { _ in 1 } == nil)
            await expectCode(.misuse) { try await near.withBytes(atLeast: 0) { _ in 0 } }
        }
    }

    /// What `withBytes` shows must neither move nor be given to others while somebody looks at it.
    @Test func fault19_theStreamMayBeBrokenOffAndOthersMayWriteInsideWithBytes() async throws {
        try await withPair { near, far in
            let (other, otherFar) = try await connectedPair()
            try await far.write([UInt8](repeating: 1, count: 1000))
            let used = try await near.withBytes(atLeast: 1000) { bytes in
                near.abort()
                // The second write of a turn is queued, in a buffer of the same pool.
                for _ in 0..<2 { _ = try other.core.writeAtOnce([UInt8](repeating: 2, count: 1000).span) }
                return bytes.indices.count { bytes[$0] == 1 }
            }
            #expect(used == 1000)
            await expectCode(.closed) { try await near.read() }
            #expect(try await otherFar.read(exactly: 2000) == [UInt8](repeating: 2, count: 2000))
            other.abort()
            otherFar.abort()
        }
    }

    @Test func anEagerReaderInsideWithBytesIsRefused() async throws {
        try await withPair { near, far in
            try await far.write("abc".utf8)
            let intruder = Shared<LoopTask<[UInt8]>?>(nil)
            let used = try await near.withBytes(atLeast: 3) { _ in
                intruder.value = LoopTask(eager: true) { try await near.read(exactly: 100_000) }
                return 1
            }
            #expect(used == 1)
            let task = try #require(intruder.value)
            task.cancel()
            await expectCode(.busy) { try await task.value }
            #expect(try await near.read() == Array("bc".utf8))
            await #expect(throws: Boom.self) {
                try await far.write("d".utf8)
                _ = try await near.withBytes { _ in throw Boom() }
            }
            #expect(try await near.read() == Array("d".utf8))
        }
    }

    @Test func fault36_bytesThatNobodyTakesStayInTheKernelBeyondOneBuffer() async throws {
        try await withPair { near, far in
            #expect(near.loop.chunks.taken == 0)
            let sent = Shared<[UInt8]>([])
            let reader = LoopTask { try await near.read(atMost: 1) }
            try await until { reader.isWaiting }
            let writer = try await far.fillUp(sent)
            // A writer may be waiting while the kernel still moves bytes to us: when all stands still, the buffer is full and no longer read into.
            try await until { near.core.transport?.isReading == false }
            #expect(near.core.available <= 65_536)
            writer.cancel()
            await #expect(throws: CancelledError.self) { try await writer.value }
            let closing = LoopTask { try await far.close() }
            var all = try #require(try await reader.value)
            all += try await near.readAll()
            try await closing.value
            #expect(all == sent.value)
        }
    }

    @Test func aPlainTaskReadsAndWritesThroughAHelper() async throws {
        try await withPair { near, far in
            let plain = Task { () -> [UInt8]? in
                let bytes = try await near.read(exactly: 3)
                try await near.write(bytes)
                return try await near.read()
            }
            try await far.write([1, 2, 3])
            #expect(try await far.read(exactly: 3) == [1, 2, 3])
            try await far.close()
            #expect(try await plain.value == nil)
        }
    }

    /// Every byte is read once and in order, whoever is cancelled at whichever moment.
    @Test func fault01_tenThousandCancelledReadsLoseNothing() async throws {
        try await withPair { near, far in
            let seed: UInt64 = 1
            let stop = Shared(false)
            let sent = Shared(0)
            let writer = LoopTask {
                var random = Seeded(seed)
                while !stop.value {
                    let next = sent.value + Int.random(in: 1...60, using: &random)
                    try await far.write(counted(sent.value..<next))
                    sent.value = next
                    for _ in 0..<Int.random(in: 0...2, using: &random) { try await LoopTask.yield() }
                }
                try far.closeWrite()
            }
            let received = Shared<[UInt8]>([])
            let ended = Shared(false)
            var cancelled = 0
            var random = Seeded(seed &* 77)
            while !ended.value {
                stop.value = cancelled == 10_000
                let exactly = !stop.value && Bool.random(using: &random)
                let count = Int.random(in: 1...100, using: &random)
                let reader = LoopTask {
                    if exactly {
                        received.value += try await near.read(exactly: count)
                    } else if let bytes = try await near.read(atMost: count) {
                        received.value += bytes
                    } else {
                        ended.value = true
                    }
                }
                for _ in 0..<Int.random(in: 0...3, using: &random) { try await LoopTask.yield() }
                if !stop.value { reader.cancel() }
                do {
                    try await reader.value
                } catch is CancelledError {
                    cancelled += 1
                }
            }
            try await writer.value
            #expect(cancelled == 10_000)
            let isSame = received.value == counted(0..<sent.value)
            #expect(isSame)
        }
    }
}
