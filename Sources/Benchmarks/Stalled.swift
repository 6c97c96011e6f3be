import AsyncUV
import Foundation

/// So many peers that never read, while the server tries to write a gibibyte to each; ten others are served meanwhile. What the server holds for a stalled one, resident.
func stalled(_ peers: Int) async throws -> Measurement {
    let block = [UInt8](repeating: 7, count: 65_536)
    let server = try TCPServer.listen(at: [.loopback()]) { stream in
        try stream.setSendBufferSize(16_384)
        guard let wish = try await stream.read(atMost: 1) else { return }
        if wish == Array("s".utf8) {
            for _ in 0..<16_384 { try await stream.write(block) }
        } else {
            while let bytes = try await stream.read() { try await stream.write(bytes) }
        }
    }
    func connect() async throws -> TCPStream {
        let stream = try await TCPStream.connect(to: server.addresses[0])
        // So that the kernel holds little: its memory is not what is measured.
        try stream.setReceiveBufferSize(16_384)
        return stream
    }
    var stalled: [TCPStream] = []
    for _ in 0..<peers { stalled.append(try await connect()) }
    while server.statistics.accepted < peers { try await LoopTask.sleep(for: .milliseconds(10)) }
    let before = ThisProcess.residentMemory()
    for stream in stalled { try await stream.write("s".utf8) }
    try await LoopTask.sleep(for: .seconds(1))

    var times: [Double] = []
    let measurement = try await measure(10 * 100) {
        let others = (0..<10).map { _ in
            LoopTask {
                let stream = try await connect()
                var times: [Double] = []
                try await stream.write("e".utf8)
                for _ in 0..<100 {
                    let began = ThisProcess.seconds
                    try await stream.write("hello".utf8)
                    guard try await stream.read(exactly: 5) == Array("hello".utf8) else { throw Wrong("an echo with other bytes") }
                    times.append((ThisProcess.seconds - began) * 1e6)
                    try await LoopTask.sleep(for: .milliseconds(10))
                }
                try await stream.close()
                return times
            }
        }
        for task in others { times += try await task.value }
    }
    let after = ThisProcess.residentMemory()
    times.sort()
    var result = measurement
    result.extra = [
        ("bytes_each", (after - before) / Double(peers)), ("high_water_mark", Double(EventLoop.defaultHighWaterMark)),
        ("still_served", Double(server.statistics.current)), ("p50_us", times[times.count / 2]), ("p99_us", times[times.count * 99 / 100]),
    ]
    for stream in stalled { stream.abort() }
    try await server.shutDown(grace: .seconds(5))
    return result
}
