import Testing
@testable import AsyncUV

@Suite struct LineChatTests {
    private func withChat(_ arguments: [String] = [], _ body: @escaping @Sendable (SocketAddress) async throws -> Void) async throws {
        let (errors, status) = try await withLoop(clock: .system) {
            let program = try ChildProgram("LineChat", arguments: ["--port", "0"] + arguments)
            let line = try #require(program.line())
            try await body(try SocketAddress(parsing: String(line.dropFirst("listening on ".count))))
            program.send(15)
            let (_, errors, status) = program.end()
            return (errors, status)
        }
        #expect(errors == "")
        #expect(status == 0)
    }

    private func join(_ address: SocketAddress) async throws -> TCPStream {
        let stream = try await TCPStream.connect(to: address)
        #expect(try await stream.readLine()?.hasPrefix("* welcome, guest-") == true)
        return stream
    }

    @Test func whatOneSaysTheOthersHear() async throws {
        try await withChat { address in
            let anna = try await join(address), ben = try await join(address)
            #expect(try await anna.readLine() == "* guest-2 is here")
            try await anna.write("/name anna\nhello\u{1B}[2J\r\n".utf8)
            #expect(try await anna.readLine() == "* guest-1 is anna now")
            #expect(try await ben.readLine() == "* guest-1 is anna now")
            #expect(try await ben.readLine() == "anna: hello[2J")
            try await ben.write("/name anna\n/who\n/quit\n".utf8)
            #expect(try await ben.readLine() == "* there is a anna already")
            #expect(try await ben.readLine() == "* anna, guest-2")
            #expect(try await ben.readLine() == nil)
            #expect(try await anna.readLine() == "* guest-2 has left")
            anna.abort()
            ben.abort()
        }
    }

    @Test func aLineThatIsTooLongEndsItsConnectionOnly() async throws {
        try await withChat { address in
            let anna = try await join(address), ben = try await join(address)
            #expect(try await anna.readLine() == "* guest-2 is here")
            try await ben.write([UInt8](repeating: 0x78, count: 5_000))
            #expect(try await ben.readLine() == "* good bye: a line has at most 1000 bytes")
            #expect(try await anna.readLine() == "* guest-2 has left")
            anna.abort()
            ben.abort()
        }
    }

    @Test func whoSaysNothingIsPutOut() async throws {
        try await withChat(["--idle", "1"]) { address in
            let anna = try await join(address)
            #expect(try await anna.readLine()?.hasPrefix("* good bye: nothing was said") == true)
            #expect(try await anna.readLine() == nil)
            anna.abort()
        }
    }

    @Test func whoDoesNotListenIsPutOutAndTheOthersHearAll() async throws {
        try await withChat { address in
            let deaf = try await join(address), speaker = try await join(address), listener = try await join(address)
            let text = String(repeating: "y", count: 900)
            let heard = LoopTask {
                var count = 0
                while count < 20_000, let line = try await listener.readLine() {
                    if line == "guest-2: \(text)" { count += 1 }
                }
                return count
            }
            for _ in 0..<20_000 { try await speaker.write("\(text)\n".utf8) }
            #expect(try await heard.value == 20_000)
            // What the kernel had taken for it can still be read, and then it is over.
            await #expect(throws: LoopError.self) { while try await deaf.read() != nil {} }
            for stream in [deaf, speaker, listener] { stream.abort() }
        }
    }
}
