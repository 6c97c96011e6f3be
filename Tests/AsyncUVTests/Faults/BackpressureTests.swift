import Testing
import UVCore
@testable import AsyncUV

@Suite struct BackpressureTests {
    /// 12 MB for a reader that takes 1,000 bytes a turn for a while: what it does not take is with the system and the sender.
    @Test(arguments: StreamKind.twoWay) func fault36_aFastSenderFillsNoMoreThanOneBufferOfASlowReader(kind: StreamKind) async throws {
        try await withStreams(kind) { near, far in
            let part = counted(0..<100_003)
            let parts = 120
            let sent = Shared(0)
            let writer = LoopTask {
                for _ in 0..<parts {
                    try await far.write(part)
                    sent.value += 1
                }
                try far.closeWrite()
            }
            var received = 0, isSame = true, highest = 0
            while let bytes = try await near.read(atMost: received < 300_000 ? 1000 : 60_000) {
                // The position in the part, and the part again from its start.
                let start = received % part.count
                let first = min(bytes.count, part.count - start)
                isSame = isSame && bytes[..<first] == part[start..<(start + first)] && bytes[first...] == part[..<(bytes.count - first)]
                received += bytes.count
                highest = max(highest, near.core.available)
                #expect(near.loop.chunks.taken <= 3)
                try await LoopTask.yield()
                if received < 300_000 { #expect(sent.value < parts) }
            }
            try await writer.value
            #expect(received == part.count * parts && isSame)
            #expect(highest <= 65_536)
        }
    }

    /// Asked for a lot at once, the buffer grows as the bytes come, and no further than to what was asked for.
    @Test(arguments: StreamKind.twoWay) func fault36_aReaderThatWaitsForManyBytesHoldsNoMoreThanThose(kind: StreamKind) async throws {
        try await withStreams(kind) { near, far in
            let writer = LoopTask {
                while true { try await far.write([UInt8](repeating: 1, count: 50_000)) }
            }
            let reader = LoopTask { try await near.read(exactly: 1_000_000) }
            var highest = 0
            while !reader.isDone {
                highest = max(highest, near.core.input?.capacity ?? 0)
                try await LoopTask.yield()
            }
            #expect(try await reader.value.count == 1_000_000)
            #expect(highest <= 2 * 1_000_000 + 65_536)
            for _ in 0..<10 { try await LoopTask.sleep(for: .milliseconds(1)) }
            #expect(near.core.available <= 2 * 1_000_000 + 65_536)
            writer.cancel()
            await #expect(throws: CancelledError.self) { try await writer.value }
        }
    }
}
