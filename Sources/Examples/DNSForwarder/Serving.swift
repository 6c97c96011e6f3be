import AsyncUV
import DNSMessages
import Foundation

/// The same port for UDP and TCP.
func bind(host: String, port: Int) throws -> (UDPSocket, TCPListener) {
    var attempts = 0
    while true {
        let socket = try UDPSocket.bind(host: host, port: port)
        do {
            return (socket, try TCPListener.listen(at: socket.address))
        } catch {
            socket.close()
            attempts += 1
            // A port that was free for the one may be taken for the other: then another one may do, if any will.
            if port != 0 || attempts == 10 { throw error }
        }
    }
}

func complain(_ line: String) {
    // Whoever read it has gone, which is no reason to stop working.
    try? FileHandle.standardError.write(contentsOf: Data("DNSForwarder: \(line)\n".utf8))
}

extension Forwarder {
    /// So many clients may be connected at once; the next ones wait in the listener's backlog.
    private static let maximumConnections = 64
    /// So many queries of one connection are in work at once; the next ones wait in it.
    private static let maximumQueriesPerConnection = 16
    /// A client that says nothing for so long, or does not take its answers, is disconnected.
    private static let idleTimeout = Duration.seconds(10)

    /// Serves until it is cancelled. What it has begun has ended when it returns.
    func serve(_ socket: UDPSocket, _ listener: TCPListener) async throws {
        try await withLoopTaskGroup { servers in
            try servers.addTask(name: "UDP server") { try await self.serve(socket) }
            let server = try TCPServer([listener], name: "client", maximumConnections: Forwarder.maximumConnections, closeTimeout: Forwarder.idleTimeout) {
                try await self.serve($0)
            }
            try await server.run()
        }
    }

    private func serve(_ socket: UDPSocket) async throws {
        try await withLoopTaskGroup { queries in
            while true {
                let datagram = try await socket.receive()
                if try !state.withValue({ $0.queryBegan() }) {
                    try refuse(datagram, socket)
                    continue
                }
                try queries.addTask(name: "query of \(datagram.sender)") { [self] in
                    defer { try? state.withValue { $0.queryEnded() } }
                    guard let answer = try await answer(to: datagram.bytes) else { return }
                    do {
                        try await socket.send(answer, to: datagram.sender)
                    } catch is LoopError {
                        // To an address that cannot be: nobody else is to suffer for it.
                        try state.withValue { $0.counters.unsent += 1 }
                    }
                }
            }
        }
    }

    /// Says no, now or not at all.
    private func refuse(_ datagram: Datagram, _ socket: UDPSocket) throws {
        guard let message = try? DNSMessage(datagram.bytes), !message.header.flags.contains(.response) else { return }
        let isSent = try? socket.trySend(message.refusal(.serverFailure), to: datagram.sender)
        if isSent != true { try state.withValue { $0.counters.unsent += 1 } }
    }

    /// Answers the queries of one client, in the order in which the answers are ready, until it says no more.
    private func serve(_ stream: TCPStream) async throws {
        let places = try Semaphore(value: Forwarder.maximumQueriesPerConnection)
        do {
            try await withLoopTaskGroup { queries in
                while true {
                    try await places.acquire()
                    let query = try await withTimeout(Forwarder.idleTimeout) { try await stream.readMessage() }
                    guard let query else { return }
                    try queries.addTask(name: "query of \(stream.peerAddress)") { [self] in
                        if let answer = try await answer(to: query, size: DNSMessage.maximumSize) {
                            try await withTimeout(Forwarder.idleTimeout) { try await stream.writeMessage(answer) }
                        }
                        // Not if that has failed: then the group ends, and the connection.
                        try places.release()
                    }
                }
            }
        } catch is TaskGroupError {
            // It has gone away, in the middle of a message perhaps, or does nothing: its own affair.
            stream.abort()
        }
    }
}
