internal import UVCore

/// A TCP connection; ``TCPListener/accept(file:line:)`` and ``connect(to:on:file:line:)`` make them.
///
/// Small writes are sent at once (TCP_NODELAY), unless ``setNoDelay(_:)`` says otherwise.
public final class TCPStream: LoopStream, @unchecked Sendable {
    // Sendable as LoopStream.

    /// The address at the other end.
    public var peerAddress: SocketAddress {
        // What it was made with is an address of this kind.
        core.peer.address ?? .anyIPv4()
    }

    init(_ transport: any StreamTransport, peer: SocketAddress, loop: EventLoop, file: String, line: Int) {
        super.init(transport, peer: .ip(peer), loop: loop, file: file, line: line)
    }

    /// The address at this end. On the loop's thread.
    ///
    /// - Throws: `LoopError` `.closed`, `.misuse` on another thread.
    public func localAddress() throws -> SocketAddress {
        let transport = try open("localAddress")
        do {
            if case .ip(let address) = try transport.localEndpoint() { return address }
        } catch {
            throw LoopError(error, "localAddress", on: "\(core.peer)")
        }
        throw LoopError(.invalidAddress, "localAddress", on: "\(core.peer)", "the socket has no IP address")
    }

    public override var description: String { "TCP stream to \(core.peer)" }

    // MARK: options: tcp(7), socket(7). On the loop's thread; they throw `.closed`, `.system`, and `.misuse` on another thread.

    /// Whether small writes are sent at once (the default), or wait for more while an acknowledgement is due.
    public func setNoDelay(_ on: Bool) throws { try set(.noDelay(on), "setNoDelay") }

    /// Has the system ask an idle peer whether it is still there, and break the connection off if it does not answer. Off unless set.
    ///
    /// - Parameters:
    ///   - idle: how long nothing has come before it asks; in whole seconds, at least 1.
    ///   - interval: the time between two questions; in whole seconds, at least 1.
    ///   - probes: so many unanswered ones end the connection; 1 to 127.
    public func setKeepAlive(idle: Duration = .seconds(60), interval: Duration = .seconds(10), probes: Int = 6) throws {
        try set(
            .keepAlive(idleSeconds: wholeSeconds(idle), intervalSeconds: wholeSeconds(interval), probes: Int32(clamping: probes)), "setKeepAlive")
    }

    public func clearKeepAlive() throws { try set(.noKeepAlive, "clearKeepAlive") }

    /// Breaks the connection off when written data stays without an acknowledgement for so long (TCP_USER_TIMEOUT); zero is the system's own limit, many minutes.
    public func setUserTimeout(_ limit: Duration) throws {
        try set(.userTimeout(milliseconds: Int32(clamping: limit.saturatedNanoseconds / 1_000_000)), "setUserTimeout")
    }

    /// What the system holds for this connection, in bytes: it uses twice the number, and no more than net.core.wmem_max and rmem_max.
    public func setSendBufferSize(_ bytes: Int) throws { try set(.sendBuffer(bytes: Int32(clamping: bytes)), "setSendBufferSize") }
    public func setReceiveBufferSize(_ bytes: Int) throws { try set(.receiveBuffer(bytes: Int32(clamping: bytes)), "setReceiveBufferSize") }

    private func wholeSeconds(_ duration: Duration) -> Int32 {
        Int32(clamping: max(1, duration.saturatedNanoseconds / 1_000_000_000))
    }
}
