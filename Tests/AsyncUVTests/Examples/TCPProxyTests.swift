import Testing
@testable import AsyncUV
@testable import TCPProxy

@Suite struct TCPProxyTests {
    private func withProxy(
        to backends: [SocketAddress], _ body: @escaping @Sendable (SocketAddress) async throws -> Void
    ) async throws {
        let program = try ChildProgram("TCPProxy", arguments: ["--listen", "127.0.0.1:0"] + backends.flatMap { ["--to", "\($0)"] })
        let line = try #require(program.line())
        try await body(try SocketAddress(parsing: String(line.dropFirst("listening on ".count))))
        program.send(15)
        let (_, errors, status) = program.end()
        #expect(errors == "")
        #expect(status == 0)
    }

    @Test func halfCloseIsPassedOnBothWays() async throws {
        try await withLoop(clock: .system) {
            let backend = try TCPListener.listen(host: "127.0.0.1", port: 0)
            defer { backend.close() }
            try await withProxy(to: [backend.address]) { proxy in
                let client = try await TCPStream.connect(to: proxy)
                let server = try await backend.accept()
                try await client.write("question".utf8)
                try client.closeWrite()
                #expect(try await server.readToEnd(limit: 100) == Array("question".utf8))
                // The client's end has come through; the other way is open.
                try await server.write("answer".utf8)
                #expect(try await client.read(exactly: 6) == Array("answer".utf8))
                try await server.close()
                #expect(try await client.read() == nil)
                try await client.close()
            }
        }
    }

    @Test func largeTransfersComeThroughWholeBothWaysAtOnce() async throws {
        try await withLoop(clock: .system) {
            let backend = try TCPListener.listen(host: "127.0.0.1", port: 0)
            defer { backend.close() }
            try await withProxy(to: [backend.address]) { proxy in
                let client = try await TCPStream.connect(to: proxy)
                let server = try await backend.accept()
                let up = counted(0..<5_000_000), down = counted(7..<4_000_007)
                try await withLoopTaskGroup { group in
                    try group.addTask {
                        try await client.write(up); try client.closeWrite()
                    }
                    try group.addTask {
                        try await server.write(down); try server.closeWrite()
                    }
                    try group.addTask { () async throws in #expect(try await client.readAll() == down) }
                    try group.addTask { () async throws in #expect(try await server.readAll() == up) }
                }
                client.abort()
                server.abort()
            }
        }
    }

    @Test func aBackendThatIsDownIsPassedOver() async throws {
        try await withLoop(clock: .system) {
            let dead = try TCPListener.listen(host: "127.0.0.1", port: 0)
            dead.close()
            let backend = try TCPListener.listen(host: "127.0.0.1", port: 0)
            defer { backend.close() }
            try await withProxy(to: [dead.address, backend.address]) { proxy in
                for _ in 0..<3 {
                    let client = try await TCPStream.connect(to: proxy)
                    let server = try await backend.accept()
                    try await server.write([42])
                    #expect(try await client.read() == [42])
                    client.abort()
                    // The break is passed on.
                    await #expect(throws: LoopError.self) { while try await server.read() != nil {} }
                    server.abort()
                }
            }
        }
    }

    @Test func theBackendWithTheFewestConnectionsIsNext() throws {
        let addresses = try (1...3).map { try SocketAddress(host: "127.0.0.1", port: $0) }
        let loop = try EventLoop(clock: .virtual)
        var balancer = Balancer(addresses)
        #expect(balancer.candidates(at: loop.now) == [0, 1, 2])
        balancer.connected(0)
        balancer.connected(0)
        balancer.connected(2)
        #expect(balancer.candidates(at: loop.now) == [1, 2, 0])
        balancer.failed(1, at: loop.now)
        #expect(balancer.candidates(at: loop.now) == [2, 0, 1])
        #expect(balancer.candidates(at: loop.now.advanced(by: .seconds(6))) == [1, 2, 0])
        balancer.ended(0)
        balancer.ended(0)
        #expect(balancer.candidates(at: loop.now) == [0, 2, 1])
        try loop.close()
    }
}
