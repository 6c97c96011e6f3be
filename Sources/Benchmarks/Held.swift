import AsyncUV

/// Connections to an echo server of another process that then do nothing: what each costs that process in resident memory. `n` is connections.
func hold(port: Int, process: Int, _ count: Int) async throws -> Measurement {
    func resident() -> Double { ThisProcess.residentMemory(of: "\(process)") }
    func openAndUse(_ count: Int) async throws -> [TCPStream] {
        var streams: [TCPStream] = []
        for _ in 0..<count {
            let stream = try await TCPStream.connect(host: "127.0.0.1", port: port)
            try await stream.write([UInt8](repeating: 1, count: 1024))
            _ = try await stream.read(exactly: 1024)
            streams.append(stream)
        }
        return streams
    }
    // What the server needs for its first connections it needs once.
    let first = try await openAndUse(64)
    let before = resident()
    var streams: [TCPStream] = []
    var result = try await measure(count) { streams = try await openAndUse(count) }
    result.extra = [("bytes_per_connection", (resident() - before) / Double(count))]
    for stream in first + streams { try await stream.close() }
    return result
}
