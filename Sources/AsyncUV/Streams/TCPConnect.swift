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
        let transport = try await connectedTransport(.ip(address), loop, task)
        return TCPStream(transport, peer: address, loop: loop, file: file, line: line)
    }
}

/// One attempt at one address: for all kinds of streams.
func connectedTransport(
    _ remote: Endpoint, from local: Endpoint? = nil, acceptsDescriptors: Bool = false, _ loop: EventLoop, _ task: AnyLoopTask
) async throws -> any StreamTransport {
    do {
        let attempt = try loop.network.connect(to: remote, from: local, acceptsDescriptors: acceptsDescriptors, on: loop)
        defer { attempt.cancel() }
        if let transport = try attempt.takeConnection() { return transport }
        try attempt.watch { task.wake() }
        while true {
            loop.networkWaits += 1
            await task.park(.leave)
            loop.networkWaits -= 1
            try task.throwIfInterrupted()
            if let transport = try attempt.takeConnection() { return transport }
        }
    } catch let error as UVError {
        throw connectError(error, remote)
    }
}

private func connectError(_ error: UVError, _ remote: Endpoint) -> LoopError {
    if case .unix = remote { return UnixStream.connectError(error, remote) }
    var result = LoopError(error, "connect", on: "\(remote)", advice: connectAdvice(error))
    // There was no connection yet that could have been lost.
    if result.code == .connectionLost { result.code = .system }
    return result
}

func connectAdvice(_ error: UVError) -> String {
    switch error.name {
    case "ECONNREFUSED": "nothing listens there"
    case "ETIMEDOUT": "no answer: the host is down, or something drops the packets"
    case "ENETUNREACH", "EHOSTUNREACH": "there is no route to that address"
    case "EADDRNOTAVAIL": "no local port is free, or the address is not one that can be reached"
    case "EMFILE", "ENFILE": "raise the limit of open descriptors (ulimit -n)"
    case "EACCES", "EPERM": "the system does not permit it: a firewall, or a broadcast address"
    case "EAFNOSUPPORT": "this machine has no such addresses"
    default: ""
    }
}
