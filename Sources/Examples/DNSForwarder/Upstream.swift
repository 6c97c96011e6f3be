import AsyncUV
import DNSMessages

/// Who sends so many datagrams that are not the answer is not to be trusted with one that is: the server is asked by TCP then, where nobody else can put in a word.
private let maximumStrays = 16

/// Asks a server, and waits for its answer.
///
/// - Cancellation: closes the socket: nothing is left.
func exchange(_ query: DNSQuery, with server: SocketAddress) async throws -> DNSMessage {
    let id = UInt16.random(in: 0...UInt16.max)
    // A socket for this query alone: the system gives it a port that nobody can guess, takes what comes from the server only, and says if nobody is there.
    let socket = try UDPSocket.connect(to: server)
    defer { socket.close() }
    try await socket.send(try query.encoded(id: id))
    for _ in 0..<maximumStrays {
        let datagram = try await socket.receive()
        // Forged, late or broken: the answer may still come.
        guard let answer = try? DNSMessage(datagram.bytes), query.isAnswered(by: answer, id: id) else { continue }
        if answer.header.flags.contains(.truncated) { break }
        return answer
    }
    return try await exchangeByTCP(query, with: server)
}

/// By TCP answers are complete.
private func exchangeByTCP(_ query: DNSQuery, with server: SocketAddress) async throws -> DNSMessage {
    let id = UInt16.random(in: 0...UInt16.max)
    let stream = try await TCPStream.connect(to: server)
    defer { stream.abort() }
    try await stream.writeMessage(try query.encoded(id: id))
    while let bytes = try await stream.readMessage() {
        let answer = try DNSMessage(bytes)
        if query.isAnswered(by: answer, id: id) { return answer }
    }
    throw LoopError(.unexpectedEnd, "ask", on: "\(server) by TCP", "the connection ended without an answer")
}

/// In a connection each message goes behind its length, a number of two bytes.
extension ByteStream {
    /// The next message; nil at the end.
    func readMessage() async throws -> [UInt8]? {
        guard let high = try await read(atMost: 1)?.first else { return nil }
        let low = try await read(exactly: 1)[0]
        return try await read(exactly: Int(high) << 8 | Int(low))
    }

    func writeMessage(_ message: [UInt8]) async throws {
        try await write(parts: [[UInt8(message.count >> 8), UInt8(message.count & 0xff)], message])
    }
}
