import Foundation
import Testing
@testable import AsyncUV

/// The example as a whole, against clients that misbehave: each error is the error of its connection only, and leaves nothing.
@Suite struct EchoServerTests {
    /// Runs `body` against a server that another client uses before, meanwhile and afterwards.
    private func withServer(
        sourceLocation: SourceLocation = #_sourceLocation, _ body: @escaping @Sendable (EchoServerProcess) async throws -> Void
    ) async throws {
        let (errors, status) = try await withLoop(clock: .system, sourceLocation: sourceLocation) {
            let server = try EchoServerProcess()
            let witness = try await TCPStream.connect(to: server.address)
            let watching = LoopTask {
                var rounds = 0
                while true {
                    try await witness.write("round \(rounds % 10)".utf8)
                    #expect(try await witness.read(exactly: 7) == Array("round \(rounds % 10)".utf8))
                    rounds += 1
                    try await LoopTask.sleep(for: .milliseconds(1))
                }
            }
            try await body(server)
            // A failure is recorded; the witness is to be taken leave of all the same.
            try? await eventually(sourceLocation: sourceLocation) { server.program.openDescriptors == server.idleDescriptors + 1 }
            watching.cancel()
            await #expect(throws: CancelledError.self, sourceLocation: sourceLocation) { try await watching.value }
            try await exchange(port: server.address.port)
            try await witness.close()
            try await eventually(sourceLocation: sourceLocation) { server.program.openDescriptors == server.idleDescriptors }
            return server.end()
        }
        #expect(status == 0, sourceLocation: sourceLocation)
        #expect(errors == "", sourceLocation: sourceLocation)
    }

    @Test func clientsThatBreakOffWhileTheServerWaitsForBytes() async throws {
        try await withServer { server in
            for _ in 0..<50 {
                let stream = try await TCPStream.connect(to: server.address)
                try await stream.write("x".utf8)
                #expect(try await stream.read() == Array("x".utf8))
                stream.abort()
            }
        }
    }

    @Test func clientsThatBreakOffRightAfterTheyAreAccepted() async throws {
        try await withServer { server in
            for _ in 0..<200 { try await TCPStream.connect(to: server.address).abort() }
        }
    }

    @Test func clientsThatBreakOffWithBytesOnTheirWay() async throws {
        try await withServer { server in
            for size in [1, 1000, 65_536, 200_000] {
                for _ in 0..<10 {
                    let stream = try await TCPStream.connect(to: server.address)
                    try stream.setHighWaterMark(200_000)
                    try await stream.write([UInt8](repeating: 7, count: size))
                    stream.abort()
                }
            }
        }
    }

    /// The server waits until it can write.
    @Test func clientsThatDoNotReadAndBreakOff() async throws {
        try await withServer { server in
            for _ in 0..<3 {
                let stream = try await TCPStream.connect(to: server.address)
                let writer = try await stream.fillUp(Shared([]))
                stream.abort()
                await expectCode(.closed) { try await writer.value }
            }
        }
    }

    @Test func aClientThatClosesItsHalfGetsAllOfItBack() async throws {
        try await withServer { server in
            let stream = try await TCPStream.connect(to: server.address)
            let sent = counted(0..<1_000_000)
            let writer = LoopTask {
                try await stream.write(sent)
                try stream.closeWrite()
            }
            #expect(try await stream.readAll() == sent)
            try await writer.value
            try await stream.close()
        }
    }

    @Test(.enabled(if: Tool.exists("nc"), "nc is missing: apt-get install netcat-openbsd"))
    func clientsThatAreKilledInTheMiddleOfATransfer() async throws {
        try await withServer { server in
            for isReading in [true, false] {
                let clients = try (0..<5).map { _ in try Tool("nc", "127.0.0.1", "\(server.address.port)", input: "/dev/zero", isRead: isReading) }
                try await eventually { server.program.openDescriptors == server.idleDescriptors + 1 + clients.count }
                // In the middle: bytes have come, and in the second case nothing moves any more.
                let before = server.program.processorTime
                try await eventually { server.program.processorTime > before }
                for client in clients { client.kill() }
                try await eventually { server.program.openDescriptors == server.idleDescriptors + 1 }
            }
        }
    }

    @Test(.enabled(if: Tool.exists("socat"), "socat is missing: apt-get install socat"))
    func manyClientsAtOnceGetBackWhatTheySent() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("asyncuv-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let sent = folder.appendingPathComponent("sent").path
        let bytes = Data(counted(0..<300_000))
        try bytes.write(to: URL(fileURLWithPath: sent))
        try await withServer { server in
            let clients = try (0..<30).map { _ in
                try Tool("socat", "-t10", "STDIO", "TCP:127.0.0.1:\(server.address.port)", input: sent, output: folder)
            }
            try await eventually { clients.allSatisfy { !$0.isRunning } }
            for client in clients {
                #expect(client.end() == 0)
                #expect(try client.received() == bytes)
            }
        }
    }

    @Test(
        arguments: [
            ([], 64, "--port is missing; usage: EchoServer --port PORT [--host ADDRESS]"),
            (["--port"], 64, "--port needs a value; usage"),
            (["--port", "65536"], 64, "--port 65536: a port is a number from 0 to 65535"),
            (["--port", "-1"], 64, "--port -1: a port is a number from 0 to 65535"),
            (["--port", "http"], 64, "--port http: a port is a number"),
            (["--port", ""], 64, "--port : a port is a number"),
            (["--help"], 64, "unknown option '--help'; usage"),
            (["8080"], 64, "unknown option '8080'; usage"),
            (["--port", "0", "--host"], 64, "--host needs a value"),
            (["--port", "0", "--host", ""], 1, "resolve '': a host has a name, or an address in digits"),
            (["--port", "0", "--host", "nosuch.invalid"], 1, "resolve nosuch.invalid:0: "),
            (["--port", "0", "--host", "127.0.0.1:80"], 1, "resolve '127.0.0.1:80': no name has : in it"),
            (["--port", "0", "--host", "192.0.2.1"], 1, "listen 192.0.2.1:0: address not available (EADDRNOTAVAIL); no interface"),
            (["--port", "0", "--host", "fe80::1%nosuch"], 1, "resolve 'fe80::1%nosuch': no name has : in it"),
        ] as [([String], Int32, String)])
    func badArgumentsGetAnAnswer(arguments: [String], expected: Int32, message: String) async throws {
        let (lines, errors, status) = try await onOwnThread { try ChildProgram("EchoServer", arguments: arguments).end() }
        #expect(lines.isEmpty)
        #expect(status == expected)
        #expect(errors.hasPrefix("EchoServer: \(message)"), "\(errors)")
        #expect(errors.split(separator: "\n").count == 1, "\(errors)")
    }

    @Test func aPortInUseGetsAnAnswer() async throws {
        try await withServer { server in
            let (lines, errors, status) = try ChildProgram("EchoServer", "--port", "\(server.address.port)").end()
            #expect(lines.isEmpty && status == 1)
            #expect(errors.hasPrefix("EchoServer: listen \(server.address): address already in use (EADDRINUSE); another socket listens there"), "\(errors)")
        }
    }
}
