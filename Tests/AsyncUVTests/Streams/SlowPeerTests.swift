import Testing
import UVCore
@testable import AsyncUV

@Suite struct SlowPeerTests {
    @Test func fault35_peersThatReadNothingHoldTheHighWaterMarkEachAndNobodyElseUp() async throws {
        try await withLoop(clock: .system) {
            let server = try serve { stream in
                try stream.setSendBufferSize(4096)
                if try await stream.read() == Array("echo".utf8) {
                    while true {
                        try await stream.write("x".utf8)
                        if try await stream.read() == nil { return }
                    }
                }
                // A gibibyte.
                let block = [UInt8](repeating: 1, count: 65_536)
                for _ in 0..<16_384 { try await stream.write(block) }
            }
            var stalled: [TCPStream] = []
            for _ in 0..<50 {
                let client = try await server.client()
                try client.setReceiveBufferSize(4096)
                try await client.write("stall".utf8)
                stalled.append(client)
            }
            let other = try await server.connect()
            try await other.write("echo".utf8)
            for _ in 0..<200 {
                #expect(try await other.read() == Array("x".utf8))
                try await other.write("y".utf8)
            }
            #expect(server.statistics.current == 51)
            // One in the hands of the system, one behind it.
            #expect(server.loop.chunks.taken <= 2 * 50 + 2)
            for client in stalled { client.abort() }
            try await other.close()
            server.close()
            try await server.waitClosed()
        }
    }

    @Test func fault45_clientsThatDripLoseTheirPlaceAtTheDeadlineAndTheOthersAreServed() async throws {
        try await withLoop(clock: .system) {
            let late = Shared(0)
            let server = try serve(maximumConnections: 3) { stream in
                do {
                    guard let line = try await withTimeout(.milliseconds(200), { try await stream.readLine(limit: 100) }) else { return }
                    try await stream.write(line.utf8)
                } catch is TimeoutError {
                    late.value += 1
                    stream.abort()
                }
            }
            let dripping = (0..<3).map { _ in
                LoopTask {
                    let stream = try await server.connect()
                    defer { stream.abort() }
                    for _ in 0..<10_000 {
                        try await stream.write("x".utf8)
                        try await LoopTask.sleep(for: .milliseconds(10))
                    }
                }
            }
            try await until { server.statistics.current == 3 }
            let client = try await server.connect()
            try await client.write("hello\n".utf8)
            #expect(try await client.readLine(limit: 100) == "hello")
            client.abort()
            for task in dripping { await expectCode(.connectionLost) { try await task.value } }
            #expect(late.value == 3 && server.statistics.peak == 3)
            server.close()
            try await server.waitClosed()
        }
    }

    /// Measured in turns, which no other process can delay.
    @Test func fault48_connectionsAndTimersAreServedWhileManyTasksAreAlwaysReady() async throws {
        try await withLoop(clock: .system) {
            let isOver = Shared(false)
            let hot = (0..<100).map { _ in LoopTask { while !isOver.value { try await LoopTask.yield() } } }
            let server = try serve()
            // A peer that always has something to read, too.
            let (near, far) = try await connectedPair()
            let flood = LoopTask { while !isOver.value { try await far.write([UInt8](repeating: 1, count: 100_000)) } }
            let drain = LoopTask { while try await near.read() != nil {} }
            let ticks = Shared(0)
            let ticker = LoopTask { for try await _ in IntervalTicker(every: .milliseconds(1)) { ticks.value += 1 } }
            let client = try await server.connect()
            let turns = server.loop.turn
            for _ in 0..<100 {
                try await client.write("x".utf8)
                #expect(try await client.read() == Array("x".utf8))
            }
            // There and back again, each way a poll and a few turns.
            #expect(server.loop.turn - turns < UInt64(100 * 6 * EventLoop.maximumTurnsBetweenPolls))
            #expect(ticks.value > 0)
            isOver.value = true
            ticker.cancel()
            client.abort()
            near.abort()
            for task in hot { try await task.value }
            await expectCode(.connectionLost) { try await flood.value }
            await expectCode(.closed) { try await drain.value }
            far.abort()
            server.close()
            try await server.waitClosed()
        }
    }
}
