/// Takes TCP connections at an address.
///
/// A connection stays in the kernel's backlog until a task takes it with ``accept(file:line:)``. Several tasks may wait there; they are served first come, first served. When the
/// process runs out of descriptors or the system out of memory, the listener waits, 100 ms at first and then up to a second, and tries again, for as long as it
/// is open; each such time is reported once.
public final class TCPListener: StreamListener, @unchecked Sendable {
    // Sendable: the core is touched on the loop's thread only, apart from its constants.

    public static let defaultBacklog = 4096

    let core: ListenerCore
    public var loop: EventLoop { core.loop }
    /// Where it listens, with the port that the system has chosen if 0 was asked for.
    public let address: SocketAddress

    /// Listens at an address, on the caller's loop or the one named, whose thread must be the caller's.
    ///
    /// - Parameters:
    ///   - backlog: how many connections the kernel holds until they are taken; it uses no more than `net.core.somaxconn`.
    ///   - reusePort: several sockets may listen there, of this process or others that ask for the same; the kernel spreads connections over them.
    /// - Throws: `LoopError` `.system` with what to do about it; `.misuse` where there is no event loop, or on another thread than its own.
    public static func listen(
        at address: SocketAddress, backlog: Int = defaultBacklog, reusePort: Bool = false, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) throws -> TCPListener {
        var options = ListenOptions(backlog: Int32(clamping: backlog))
        options.reusePort = reusePort
        let core = try ListenerCore(at: .ip(address), options, on: loop, file: file, line: line)
        guard case .ip(let bound) = core.endpoint else {
            core.close()
            throw LoopError(.invalidAddress, "listen", on: "\(address)", "the socket has no IP address")
        }
        return TCPListener(core, bound)
    }

    /// Listens at a host and a port.
    ///
    /// - Parameters:
    ///   - host: an address in digits; `0.0.0.0` is every IPv4 address of the machine, `::` every IPv6 address and no IPv4 one. `localhost` is 127.0.0.1.
    ///   - port: 0 for any free one: see ``address``.
    /// - Throws: as ``listen(at:backlog:reusePort:on:file:line:)->TCPListener``; `.invalidAddress`.
    public static func listen(
        host: String, port: Int, backlog: Int = defaultBacklog, reusePort: Bool = false, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) throws -> TCPListener {
        try listen(at: SocketAddress(host: host, port: port), backlog: backlog, reusePort: reusePort, on: loop, file: file, line: line)
    }

    init(_ core: ListenerCore, _ address: SocketAddress) {
        self.core = core
        self.address = address
    }

    deinit {
        let core = core
        // After a close that was posted before. Refused by a closed loop only, which has closed the handle.
        if core.loop.isOwner { core.abandon() } else { _ = core.loop.inbox.post(.call { core.abandon() }) }
    }

    public var description: String { "TCP listener at \(address)" }

    /// How often a connection could not be taken because of a lack of descriptors or memory. The connections were not lost by that, unless their clients gave up.
    /// On the loop's thread.
    public var acceptFailures: Int { core.failures }

    /// Waits for the next connection and takes it.
    ///
    /// - Cancellation: lossless: the connection stays in the backlog, for the next one who accepts.
    /// - Throws: `LoopError` `.closed` if the listener is closed, also while it waits. That one connection failed is not an error: the next one is taken.
    public func accept(file: String = #fileID, line: Int = #line) async throws -> TCPStream {
        guard let task = loop.callingTask else {
            return try await bridged("TCPListener.accept", on: loop) { try await self.accept(file: file, line: line) }
        }
        let (transport, peer) = try await core.accept(by: task)
        return TCPStream(transport, peer: peer.address ?? address, loop: loop, file: file, line: line)
    }

    /// Stops listening, at once. Tasks that wait in `accept` end with `.closed`; connections that nobody has taken are broken off by the system. Idempotent.
    ///
    /// On the loop's thread; from another it is posted.
    public func close() {
        guard loop.isOwner else {
            // Refused by a closed loop only, which has closed the handle.
            // With the object itself: the loop's thread may be the last one to hold it, and letting go of it must not come first.
            _ = loop.inbox.post(.call { [self] in core.close() })
            return
        }
        core.close()
    }

    public var isClosed: Bool { core.transport?.isClosed ?? true }
}
