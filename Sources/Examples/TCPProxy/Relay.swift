import AsyncUV

/// Passes bytes on both ways until both sides have ended, each as fast as the other takes them. An end is passed on, too: a side that has ended may still be answered.
func relay(_ client: TCPStream, _ server: TCPStream) async throws {
    try await withLoopTaskGroup { group in
        try group.addTask(name: "to \(server.peerAddress)") { try await pass(from: client, to: server) }
        try group.addTask(name: "to \(client.peerAddress)") { try await pass(from: server, to: client) }
    }
}

private func pass(from source: TCPStream, to target: TCPStream) async throws {
    try await source.copy(to: target)
    try target.closeWrite()
}
