import AsyncUV

/// Lines of so many bytes, written a hundred at a time and read one by one; both ends are in this process.
func lines(_ count: Int, bytes: Int) async throws -> Measurement {
    let line = String(repeating: "x", count: bytes - 1)
    let server = try TCPServer.listen(at: [.loopback()]) { stream in
        for first in stride(from: 0, to: count, by: 100) {
            try await stream.write(String(repeating: line + "\n", count: min(100, count - first)).utf8)
        }
        try await stream.close()
    }
    let stream = try await TCPStream.connect(to: server.addresses[0])
    var arrived = 0
    let result = try await measure(count) {
        for try await text in stream.lines() {
            guard text.utf8.count == line.utf8.count else { throw Wrong("line \(arrived) has \(text.utf8.count) bytes") }
            arrived += 1
        }
    }
    guard arrived == count else { throw Wrong("\(arrived) lines of \(count)") }
    try await stream.close()
    try await server.shutDown(grace: .seconds(5))
    return result
}
