internal import UVCore

/// A connection over a Unix socket, with a process of the same machine; ``UnixListener/accept(file:line:)``, ``connect(to:acceptsDescriptors:on:file:line:)`` and
/// ``pair(acceptsDescriptors:on:file:line:)`` make them.
public final class UnixStream: LoopStream, @unchecked Sendable {
    // Sendable as LoopStream.

    /// What the other end is bound to: the listener's address at a client's end, mostly nothing at a server's.
    public let peerAddress: UnixAddress

    /// - Parameter endpoint: what errors call the other end.
    init(_ transport: any StreamTransport, peer: UnixAddress, as endpoint: Endpoint, loop: EventLoop, file: String, line: Int) {
        peerAddress = peer
        super.init(transport, peer: endpoint, loop: loop, file: file, line: line)
        core.received = (transport as? PassingStream)?.received
    }

    /// What this end is bound to. On the loop's thread.
    ///
    /// - Throws: `LoopError` `.closed`, `.misuse` on another thread.
    public func localAddress() throws -> UnixAddress {
        let transport = try open("localAddress")
        do {
            if case .unix(let address) = try transport.localEndpoint() { return address }
        } catch {
            throw LoopError(error, "localAddress", on: "\(core.peer)")
        }
        throw LoopError(.invalidAddress, "localAddress", on: "\(core.peer)", "the socket has no Unix address")
    }

    public override var description: String { "Unix stream to \(core.peer)" }

    /// Who was at the other end when the connection was made, as the kernel saw it: nobody can forge it. At a client's end, who called `listen`.
    public struct PeerCredentials: Hashable, Sendable {
        /// May have ended since, and its number belong to another one now; 0 if it is not to be seen from this process's namespace.
        public let processID: Int32
        /// As it counted for access: the effective ones.
        public let userID: UInt32
        public let groupID: UInt32
    }

    /// See ``PeerCredentials``. On the loop's thread.
    ///
    /// - Throws: `LoopError` `.closed`, `.system`, `.misuse` on another thread.
    public func peerCredentials() throws -> PeerCredentials {
        let transport = try open("peerCredentials")
        do {
            let (process, user, group) = try Sockets.peerCredentials(transport.descriptor)
            return PeerCredentials(processID: process, userID: user, groupID: group)
        } catch {
            throw LoopError(error, "peerCredentials", on: "\(core.peer)")
        }
    }

    /// What the system holds for what this end sends, in bytes: it uses twice the number, and no more than net.core.wmem_max. On the loop's thread.
    ///
    /// - Throws: `LoopError` `.closed`, `.system`, `.misuse` on another thread.
    public func setSendBufferSize(_ bytes: Int) throws { try set(.sendBuffer(bytes: Int32(clamping: bytes)), "setSendBufferSize") }

    // MARK: making one

    /// Connects to an address, on the caller's loop or the one named.
    ///
    /// While the server's backlog is full it tries again, after 1 ms first and later every 64 ms, for as long as one lets it.
    /// - Parameter acceptsDescriptors: descriptors that the peer sends are kept, for ``receive(atMost:)``. Otherwise the system closes them.
    /// - Cancellation: nothing is left: the attempt is given up, and a connection that was just made is closed.
    /// - Throws: `LoopError` `.system` with the system's reason; `.invalidAddress` for an address that is unnamed; `.misuse` where there is no event loop.
    public static func connect(
        to address: UnixAddress, acceptsDescriptors: Bool = false, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) async throws -> UnixStream {
        guard let loop = loop ?? EventLoop.current, let task = loop.callingTask else {
            return try await bridged("UnixStream.connect", on: loop) {
                try await connect(to: address, acceptsDescriptors: acceptsDescriptors, on: loop, file: file, line: line)
            }
        }
        if address.isUnnamed { throw LoopError(.invalidAddress, "connect", on: "\(address)", "nobody can be found at a socket without a name") }
        let transport = try await connectedTransport(.unix(address), acceptsDescriptors: acceptsDescriptors, loop, task)
        return UnixStream(transport, peer: address, as: .unix(address), loop: loop, file: file, line: line)
    }

    /// Connects to a path. See ``connect(to:acceptsDescriptors:on:file:line:)``.
    public static func connect(
        path: String, acceptsDescriptors: Bool = false, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) async throws -> UnixStream {
        try await connect(to: UnixAddress(path: path), acceptsDescriptors: acceptsDescriptors, on: loop, file: file, line: line)
    }

    /// Two streams that are connected with each other, without a listener: one of them may be given to another process. On the loop's thread.
    ///
    /// - Parameter acceptsDescriptors: at both ends; see ``connect(to:acceptsDescriptors:on:file:line:)``.
    /// - Throws: `LoopError` `.system` if descriptors run out; `.misuse` where there is no event loop, or on another thread than its own.
    public static func pair(
        acceptsDescriptors: Bool = false, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) throws -> (UnixStream, UnixStream) {
        let loop = try loop ?? EventLoop.requireCurrent("pair")
        guard loop.isOwner else { throw LoopError.misuse("pair", on: "\(loop)", "called on another thread; use loop.callSoonThreadsafe { … } or a LoopTask(on:)") }
        do {
            let (near, far) = try loop.network.pair(acceptsDescriptors: acceptsDescriptors, on: loop)
            let make = { UnixStream($0, peer: .unnamed, as: .label("the other end of a pair"), loop: loop, file: file, line: line) }
            return (make(near), make(far))
        } catch {
            throw LoopError(error, "pair", advice: error.name == "EMFILE" ? "raise the limit of open descriptors (ulimit -n)" : "")
        }
    }

    static func connectError(_ error: UVError, _ remote: Endpoint) -> LoopError {
        let advice: String
        switch error.name {
        case "ECONNREFUSED": advice = "nothing listens there: the server has ended, or what is at the path is no socket"
        case "ENOENT": advice = "there is nothing at that path: the server does not run, or listens at another one"
        case "EACCES", "EPERM": advice = "it takes write permission on the socket, and search permission on every folder on the way"
        case "EPROTOTYPE": advice = "the socket there is for datagrams, not for streams"
        case "EMFILE", "ENFILE": advice = "raise the limit of open descriptors (ulimit -n)"
        default: advice = ""
        }
        var result = LoopError(error, "connect", on: "\(remote)", advice: advice)
        // There was no connection yet that could have been lost.
        if result.code == .connectionLost { result.code = .system }
        return result
    }
}
