import AsyncUV

/// Connections to a server that gives each a task, made so many at a time; both ends are in this process. One that is answered is broken off, so that the system does not
/// keep its port for a minute.
func accepts(_ count: Int, atOnce: Int) async throws -> Measurement {
    try ThisProcess.allowDescriptors(2 * atOnce + 64)
    let server = try TCPServer.listen(at: [.loopback()]) { stream in
        try await stream.write([1])
        do { _ = try await stream.read() } catch let error as LoopError where error.code == .connectionLost {}
    }
    let address = server.addresses[0]
    let result = try await measure(count) {
        for first in stride(from: 0, to: count, by: atOnce) {
            try await withLoopTaskGroup { group in
                for _ in first..<min(count, first + atOnce) {
                    try group.addTask {
                        let stream = try await TCPStream.connect(to: address)
                        defer { stream.abort() }
                        _ = try await stream.read(exactly: 1)
                    }
                }
            }
        }
        while server.statistics.current > 0 { try await LoopTask.yield() }
    }
    guard server.statistics.accepted == count else { throw Wrong("\(server.statistics.accepted) connections were accepted, not \(count)") }
    try await server.shutDown(grace: .seconds(5))
    return result
}

/// A message of 256 bytes to all of so many connections, until all have it, and then the next; both ends are in this process. An operation is one message to one of them.
func broadcast(_ rounds: Int, connections: Int) async throws -> Measurement {
    try ThisProcess.allowDescriptors(2 * connections + 64)
    let message = [UInt8](repeating: 7, count: 256)
    let members = try Queue<TCPStream>()
    let arrived = try LoopBound(0)
    let all = try Semaphore(value: 0)
    let server = try TCPServer.listen(at: [.loopback()]) { stream in
        try await members.put(stream)
        // Until the other side ends.
        _ = try await stream.read()
    }
    var streams: [TCPStream] = []
    for _ in 0..<connections { streams.append(try await TCPStream.connect(to: server.addresses[0])) }
    var audience: [TCPStream] = []
    for _ in 0..<connections { audience.append(try await members.get()) }
    let readers = streams.map { stream in
        LoopTask {
            for _ in 0..<rounds {
                _ = try await stream.read(exactly: message.count)
                let isLast = try arrived.withValue {
                    $0 += 1
                    return $0 % connections == 0
                }
                if isLast { try all.release() }
            }
        }
    }
    let result = try await measure(rounds * connections) {
        for _ in 0..<rounds {
            for stream in audience { try await stream.write(message) }
            try await all.acquire()
        }
    }
    for reader in readers { try await reader.value }
    for stream in streams { try await stream.close() }
    try await server.shutDown(grace: .seconds(5))
    return result
}
