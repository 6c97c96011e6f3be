import Testing
@testable import AsyncUV

@Suite struct ConnectionsTests {
    @Test func connectionsComeOneAfterTheOtherUntilTheListenerIsClosed() async throws {
        try await withLoop(clock: .system) {
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
            let serving = LoopTask {
                var count = 0
                for try await stream in listener.connections {
                    count += 1
                    try await stream.close()
                }
                return count
            }
            for _ in 0..<3 {
                let client = try await TCPStream.connect(to: listener.address)
                #expect(try await client.read() == nil)
                client.abort()
            }
            listener.close()
            #expect(try await serving.value == 3)
            for try await _ in listener.connections { Issue.record("the listener is closed") }
        }
    }

    @Test func aCancelledIterationLosesNoConnection() async throws {
        try await withLoop(clock: .system) {
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
            let waiting = LoopTask { for try await stream in listener.connections { try await stream.close() } }
            try await until { waiting.isWaiting }
            waiting.cancel()
            await #expect(throws: CancelledError.self) { try await waiting.value }
            let client = try await TCPStream.connect(to: listener.address)
            var iterator = listener.connections.makeAsyncIterator()
            let stream = try #require(try await iterator.next())
            #expect(stream.peerAddress == (try client.localAddress()))
            stream.abort()
            client.abort()
            listener.close()
        }
    }

    @Test func plainTasksMayIterate() async throws {
        try await withLoop(clock: .system) {
            let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
            let plain = Task.detached {
                var count = 0
                for try await stream in listener.connections {
                    // Closes without having been waited for.
                    stream.abort()
                    count += 1
                }
                return count
            }
            for _ in 0..<3 {
                let client = try await TCPStream.connect(to: listener.address)
                await expectCode(.connectionLost) { try await client.read() }
                client.abort()
            }
            listener.close()
            #expect(try await LoopTask.foreign { try await plain.value } == 3)
        }
    }
}

@Suite struct TCPListenAllTests {
    @Test func entry117_severalAddressesHaveAListenerEachAndOnePort() async throws {
        try await withLoop(clock: .system) {
            let server = try TCPServer.listen(at: [.loopback(), .loopbackIPv6(), .loopback()], handler: { try await echo($0) })
            #expect(server.addresses.map(\.host) == ["127.0.0.1", "::1"])
            #expect(server.addresses[0].port == server.addresses[1].port && server.addresses[0].port != 0)
            for address in server.addresses {
                let client = try await TCPStream.connect(to: address)
                try await client.write("x".utf8)
                #expect(try await client.read() == Array("x".utf8))
                try await client.close()
            }
            try await until { server.statistics.current == 0 }
            server.close()
            try await server.waitClosed()
        }
    }

    @Test func entry117_everyIPv6ListenerIsForIPv6Alone() async throws {
        try await withLoop(clock: .system) {
            let listeners = try TCPListener.listen(at: [.anyIPv6(), .anyIPv4()])
            #expect(listeners.map(\.address.port).allSatisfy { $0 == listeners[0].address.port })
            for listener in listeners { listener.close() }
        }
    }

    @Test func entry117_anErrorNamesItsAddressAndLeavesNothingOpen() async throws {
        try await withLoop(clock: .system) {
            let taken = try TCPListener.listen(host: "127.0.0.1", port: 0)
            let free = try SocketAddress(host: "::1", port: taken.address.port)
            let error = #expect(throws: LoopError.self) { try TCPListener.listen(at: [free, taken.address]) }
            #expect(error?.subject == "\(taken.address)")
            // Was let go of again.
            try TCPListener.listen(at: free).close()
            await expectCode(.invalidAddress) { try TCPListener.listen(at: []) }
            taken.close()
        }
    }

    @Test func entry117_aHostIsServedAtEachOfItsAddresses() async throws {
        try await withLoop(clock: .system) {
            let server = try await TCPServer.listen(host: "localhost", port: 0) { try await echo($0) }
            #expect(Set(server.addresses.map(\.host)) == ["127.0.0.1", "::1"])
            #expect(Set(server.addresses.map(\.port)).count == 1)
            // Of a name's addresses those count that this machine has; if it has none of them, that is an error.
            let elsewhere = try SocketAddress(host: "192.0.2.1", port: 0)
            let listeners = try TCPListener.listen(at: [elsewhere, .loopback()], skipsUnusable: true) { try TCPListener.listen(at: $0) }
            #expect(listeners.map(\.address.host) == ["127.0.0.1"])
            let error = #expect(throws: LoopError.self) {
                try TCPListener.listen(at: [elsewhere], skipsUnusable: true) { try TCPListener.listen(at: $0) }
            }
            #expect(error?.subject == "192.0.2.1:0")
            for listener in listeners { listener.close() }
            server.close()
            try await server.waitClosed()
        }
    }

    @Test func aPortThatIsTakenAtTheSecondAddressIsTriedAgainWithAnother() async throws {
        try await withLoop(clock: .system) {
            let taken = Shared<[TCPListener]>([])
            let listeners = try TCPListener.listen(at: [.loopback(), .loopbackIPv6()], skipsUnusable: false) { address in
                let listener = try TCPListener.listen(at: address)
                // Somebody else is faster, the first two times.
                if address.port == 0 && taken.value.count < 2 { taken.value.append(try TCPListener.listen(at: .loopbackIPv6(port: UInt16(listener.address.port)))) }
                return listener
            }
            #expect(listeners.count == 2 && listeners[0].address.port == listeners[1].address.port)
            #expect(taken.value.count == 2)
            for listener in listeners + taken.value { listener.close() }
        }
    }

    @Test func entry117_aPortIsSharedOnlyByThoseWhoAskForIt() async throws {
        try await withLoop(clock: .system) {
            let first = try TCPListener.listen(host: "127.0.0.1", port: 0, reusePort: true)
            let second = try TCPListener.listen(at: first.address, reusePort: true)
            let error = #expect(throws: LoopError.self) { try TCPListener.listen(at: first.address) }
            #expect(error.map { "\($0)" }?.contains("EADDRINUSE") == true)
            // The system chooses by the peer's port: with so many, both get some.
            let counts = Shared([0, 0])
            let acceptors = [first, second].enumerated().map { index, listener in
                LoopTask {
                    for try await stream in listener.connections {
                        counts.value[index] += 1
                        try await stream.close()
                    }
                }
            }
            var clients: [TCPStream] = []
            for _ in 0..<64 { clients.append(try await TCPStream.connect(to: first.address)) }
            try await until { counts.value[0] + counts.value[1] == 64 }
            #expect(counts.value.allSatisfy { $0 > 0 }, "\(counts.value)")
            for client in clients { client.abort() }
            first.close()
            second.close()
            for task in acceptors { try await task.value }
        }
    }
}
