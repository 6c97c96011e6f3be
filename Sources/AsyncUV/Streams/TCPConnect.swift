internal import UVCore

extension TCPStream {
    /// Connects to an address, on the caller's loop or the one named.
    ///
    /// Waits as long as the system tries, which may be minutes.
    /// - Cancellation: nothing is left: the attempt is given up, and a connection that was just made is closed.
    /// - Throws: `LoopError` `.system` with the system's reason; `.misuse` where there is no event loop.
    public static func connect(
        to address: SocketAddress, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) async throws -> TCPStream {
        guard let loop = loop ?? EventLoop.current, let task = loop.callingTask else {
            return try await bridged("TCPStream.connect", on: loop) { try await connect(to: address, on: loop, file: file, line: line) }
        }
        do {
            let descriptor = try await connectedSocket(address, loop, task)
            return try TCPStream(descriptor, peer: address, loop: loop, file: file, line: line)
        } catch let error as UVError {
            throw connectError(error, address)
        }
    }

    /// Connects to a host and a port.
    ///
    /// - Parameter host: an address in digits, or `localhost`, which is 127.0.0.1. Other names are not looked up.
    /// - Cancellation, Throws: as ``connect(to:on:file:line:)``; `.invalidAddress`.
    public static func connect(
        host: String, port: Int, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) async throws -> TCPStream {
        try await connect(to: SocketAddress(host: host, port: port), on: loop, file: file, line: line)
    }

    // With a socket of our own and a poll, because a cancelled uv_tcp_connect would have to be waited for.
    private static func connectedSocket(_ address: SocketAddress, _ loop: EventLoop, _ task: AnyLoopTask) async throws -> Descriptor {
        let poll: UVPoll
        switch try Sockets.connect(to: address.name) {
        case .connected(let descriptor): return descriptor
        case .underWay(let descriptor):
            guard let uv = loop.uv else { throw LoopError(.closed, "connect", on: "\(address)", "the loop is closed") }
            poll = try UVPoll(loop: uv, owning: descriptor) { _ in task.wake() }
        }
        // Closes the descriptor too, unless it was taken.
        defer { poll.close() }
        try poll.start(.writable)
        loop.outstanding += 1
        await task.park(.leave)
        loop.outstanding -= 1
        try task.throwIfInterrupted()
        if let error = Sockets.pendingError(poll.descriptor) { throw error }
        guard let descriptor = poll.takeDescriptor() else { throw LoopError(.closed, "connect", on: "\(address)", "the loop is closed") }
        return descriptor
    }

    private static func connectError(_ error: UVError, _ address: SocketAddress) -> LoopError {
        let advice: String
        switch error.name {
        case "ECONNREFUSED": advice = "nothing listens there"
        case "ETIMEDOUT": advice = "no answer: the host is down, or something drops the packets"
        case "ENETUNREACH", "EHOSTUNREACH": advice = "there is no route to that address"
        case "EADDRNOTAVAIL": advice = "no local port is free, or the address is not one that can be reached"
        case "EMFILE", "ENFILE": advice = "raise the limit of open descriptors (ulimit -n)"
        case "EACCES", "EPERM": advice = "the system does not permit it: a firewall, or a broadcast address"
        case "EAFNOSUPPORT": advice = "this machine has no \(address.isIPv6 ? "IPv6" : "IPv4")"
        default: advice = ""
        }
        var result = LoopError(error, "connect", on: "\(address)", advice: advice)
        // There was no connection yet that could have been lost.
        result.code = .system
        return result
    }
}
