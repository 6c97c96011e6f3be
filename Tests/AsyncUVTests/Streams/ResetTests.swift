import Testing
@testable import AsyncUV

/// A peer that breaks its connection off (RST), at the worst moments.
@Suite struct ResetTests {
    @Test func fault38_aResetOfAnIdleConnectionIsThrownOnceAndMakesNoWork() async throws {
        try await withPair { near, far in
            let reader = LoopTask { try await near.read() }
            try await until { reader.isWaiting }
            far.abort()
            await expectCode(.connectionLost) { try await reader.value }
            let turns = near.loop.turn
            try await LoopTask.sleep(for: .milliseconds(50))
            #expect(near.loop.turn - turns < 5)
            // For whoever asks again it is as lost as before; nobody is told a second time by himself.
            await expectCode(.connectionLost) { try await near.read() }
            try await near.close()
        }
    }

    /// libuv takes a reset for the end of the stream, if it finds both in one poll: what was cut off would look complete.
    @Test func fault38_aResetInTheMiddleOfAReadIsNeverTakenForTheEndOfTheStream() async throws {
        try await withLoop(clock: .system) {
            var random = Seeded(38)
            var received = 0
            for round in 0..<300 {
                let (near, far) = try await connectedPair()
                let count = Int.random(in: 1...100_000, using: &random)
                let reader = LoopTask {
                    var count = 0
                    while let bytes = try await near.read() { count += bytes.count }
                    Issue.record("the end of the stream, after \(count) bytes, in round \(round)")
                }
                if Bool.random(using: &random) { try await until { reader.isWaiting } }
                try await far.write(counted(0..<count))
                received += count
                for _ in 0..<Int.random(in: 0...100, using: &random) { try await LoopTask.yield() }
                far.abort()
                await expectCode(.connectionLost) { try await reader.value }
                near.abort()
            }
            #expect(received > 0)
        }
    }

    @Test func fault38_aResetInTheMiddleOfAWriteIsThrownToAllWhoWait() async throws {
        try await withPair { near, far in
            let writer = try await near.fillUp(Shared([]))
            let second = LoopTask { try await near.write([1]) }
            let flusher = LoopTask { try await near.flush() }
            try await until { second.isWaiting && flusher.isWaiting }
            far.abort()
            await expectCode(.connectionLost) { try await writer.value }
            await expectCode(.connectionLost) { try await second.value }
            await expectCode(.connectionLost) { try await flusher.value }
            await expectCode(.connectionLost) { try await near.write([1]) }
            // Everybody has been told.
            try await near.close()
        }
    }

    @Test func fault38_aConnectionThatWasResetInTheBacklogHarmsNobodyElse() async throws {
        try await withLoop(clock: .system) {
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
            for _ in 0..<20 { try await TCPStream.connect(to: listener.address).abort() }
            let client = try await TCPStream.connect(to: listener.address)
            let address = try client.localAddress()
            var lost = 0
            while true {
                let stream = try await listener.accept()
                if stream.peerAddress == address {
                    stream.abort()
                    break
                }
                lost += 1
                await expectCode(.connectionLost) { try await stream.read() }
                stream.abort()
            }
            #expect(lost <= 20)
            client.abort()
            listener.close()
        }
    }

    @Test func fault38_aServerIsNotDisturbedByClientsThatBreakOff() async throws {
        try await withLoop(clock: .system) {
            let server = try serve()
            for round in 0..<200 {
                let client = try await server.connect()
                if round % 4 > 0 { try await client.write([UInt8](repeating: 1, count: round * 500)) }
                if round % 4 > 1 { for _ in 0..<round { try await LoopTask.yield() } }
                client.abort()
            }
            let client = try await server.connect()
            try await client.write([1])
            #expect(try await client.read() == [1])
            try await client.close()
            server.close()
            try await withTimeout(.seconds(10)) { try await server.waitClosed() }
            #expect(server.statistics.failed == 0)
        }
    }
}
