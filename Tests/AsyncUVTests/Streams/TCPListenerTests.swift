import Testing
import UVCore
@testable import AsyncUV

@Suite struct TCPListenerTests {
    @Test func acceptTakesConnectionsInTheirOrder() async throws {
        try await withLoop(clock: .system) {
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
            #expect(listener.address.port != 0)
            let first = try await TCPStream.connect(to: listener.address)
            let second = try await TCPStream.connect(host: "localhost", port: listener.address.port)
            let accepted = [try await listener.accept(), try await listener.accept()]
            #expect(accepted.map(\.peerAddress) == [try first.localAddress(), try second.localAddress()])
            #expect(first.peerAddress == listener.address)
            for stream in [first, second] + accepted { try await stream.close() }
            listener.close()
            listener.close()
        }
    }

    @Test func cancelDuringAcceptLeavesTheConnectionForTheNext() async throws {
        try await withLoop(clock: .system) {
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
            let accepting = LoopTask { try await listener.accept() }
            try await until { accepting.isWaiting }
            accepting.cancel()
            await #expect(throws: CancelledError.self) { try await accepting.value }
            let client = try await TCPStream.connect(to: listener.address)
            let stream = try await listener.accept()
            #expect(stream.peerAddress == (try client.localAddress()))
            client.abort()
            stream.abort()
            listener.close()
        }
    }

    @Test func closeDuringAcceptThrowsClosedForAllWhoWait() async throws {
        try await withLoop(clock: .system) {
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
            let accepting = (0..<3).map { _ in LoopTask { try await listener.accept() } }
            try await until { accepting.allSatisfy(\.isWaiting) }
            listener.close()
            for task in accepting { await expectCode(.closed) { try await task.value } }
            await expectCode(.closed) { try await listener.accept() }
            #expect(try await refusal(at: listener.address).code == .system)
            #expect(listener.loop.outstanding == 0)
        }
    }

    @Test func severalAcceptorsAreServedFirstComeFirstServed() async throws {
        try await withLoop(clock: .system) {
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
            let order = Shared<[Int]>([])
            let accepting = (0..<5).map { number in
                LoopTask {
                    let stream = try await listener.accept()
                    order.value.append(number)
                    try await stream.close()
                }
            }
            try await until { accepting.allSatisfy(\.isWaiting) }
            for _ in 0..<5 { try await TCPStream.connect(to: listener.address).abort() }
            for task in accepting { try await task.value }
            #expect(order.value == [0, 1, 2, 3, 4])
            listener.close()
        }
    }

    /// A cancelled acceptor passes on the wake-up that it got.
    @Test func fault02_cancelledAcceptorsLoseNoConnection() async throws {
        try await withLoop(clock: .system) {
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
            let accepted = Shared(0)
            var random = Seeded(5)
            var acceptors: [LoopTask<Void>] = []
            for made in 1...1000 {
                acceptors.removeAll { $0.isDone }
                while acceptors.count < 3 {
                    acceptors.append(
                        LoopTask {
                            let stream = try await listener.accept()
                            accepted.value += 1
                            try await stream.close()
                        })
                }
                for _ in 0..<Int.random(in: 0...2, using: &random) { try await LoopTask.yield() }
                let client = try await TCPStream.connect(to: listener.address)
                for _ in 0..<Int.random(in: 0...2, using: &random) { try await LoopTask.yield() }
                let victim = acceptors[Int.random(in: 0..<2, using: &random)]
                victim.cancel()
                try await until { accepted.value == made }
                client.abort()
            }
            for task in acceptors { task.cancel() }
            for task in acceptors { _ = try? await task.value }
            #expect(accepted.value == 1000)
            listener.close()
        }
    }

    @Test func aFloodOfConnectionsLeavesTurnsToOthers() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
            var clients: [TCPStream] = []
            for _ in 0..<(EventLoop.maximumAcceptsPerTurn + 10) { clients.append(try await TCPStream.connect(to: listener.address)) }
            try await LoopTask.yield()
            let turn = loop.turn
            for client in clients {
                try await listener.accept().abort()
                client.abort()
            }
            #expect(loop.turn > turn)
            listener.close()
        }
    }

    @Test func listenErrorsNameTheAddressAndSayWhatToDo() async throws {
        try await withLoop(clock: .system) {
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
            let inUse = #expect(throws: LoopError.self) { try TCPListener.listen(at: listener.address) }
            #expect("\(try #require(inUse))".hasPrefix("listen \(listener.address): address already in use (EADDRINUSE); another socket listens there"))
            let notOurs = #expect(throws: LoopError.self) { try TCPListener.listen(host: "192.0.2.1", port: 0) }
            #expect("\(try #require(notOurs))".hasPrefix("listen 192.0.2.1:0: address not available (EADDRNOTAVAIL); no interface"))
            #expect(throws: LoopError.self) { try TCPListener.listen(host: "example.com", port: 80) }
            listener.close()
        }
    }

    @Test func aListenerOnIPv6LeavesIPv4Alone() async throws {
        try await withLoop(clock: .system) {
            let six = try TCPListener.listen(host: "::", port: 0)
            let four = try TCPListener.listen(host: "0.0.0.0", port: six.address.port)
            let client = try await TCPStream.connect(host: "::1", port: six.address.port)
            let stream = try await six.accept()
            #expect(stream.peerAddress.host == "::1")
            client.abort()
            stream.abort()
            six.close()
            four.close()
        }
    }

    @Test func aListenerThatIsLetGoOfIsClosedAndReported() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let log = Log()
            loop.setReportHandler { log("\($0)") }
            _ = try TCPListener.listen(host: "127.0.0.1", port: 0)
            #expect(log.entries.count == 1)
            #expect(log.entries.first?.contains("never closed") == true)
        }
    }
}

@Suite struct TCPConnectTests {
    @Test func aRefusedConnectionNamesTheAddress() async throws {
        try await withLoop(clock: .system) {
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
            let address = listener.address
            listener.close()
            let error = try await refusal(at: address)
            #expect("\(error)".hasPrefix("connect \(address): connection refused (ECONNREFUSED)"))
            #expect(error.code == .system)
        }
    }

    /// A backlog that is full leaves a connection on its way for as long as one likes.
    @Test func fault03_cancelDuringConnectLeavesNeitherDescriptorNorWatcher() async throws {
        try await withLoop(clock: .system) {
            let loop = try #require(EventLoop.current)
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0, backlog: 0)
            let clients = (0..<8).map { _ in LoopTask { try await TCPStream.connect(to: listener.address) } }
            try await until { clients.contains(where: \.isDone) }
            for _ in 0..<100 { try await LoopTask.yield() }
            let waiting = clients.filter { !$0.isDone }
            #expect(!waiting.isEmpty)
            #expect(loop.networkWaits == waiting.count)
            for client in waiting {
                client.cancel()
                await #expect(throws: CancelledError.self) { try await client.value }
            }
            #expect(loop.networkWaits == 0)
            for client in clients where !waiting.contains(where: { $0 === client }) { try await client.value.abort() }
            listener.close()
            for _ in 0..<200 { try await LoopTask.yield() }
            #expect(loop.uv?.openHandles()["poll"] == nil)
        }
    }

    @Test func connectFromAPlainTaskWithoutALoopIsMisuse() async throws {
        await expectCode(.misuse) { try await TCPStream.connect(host: "127.0.0.1", port: 1) }
    }
}
