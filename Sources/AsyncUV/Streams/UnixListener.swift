internal import UVCore

/// Takes connections at a Unix address: a path, or an abstract name. Tasks wait, and connections are taken, as with a ``TCPListener``.
///
/// **The path.** What is no socket is never touched, and neither is a socket that some process has open; one that nobody has open is what a server has left that
/// ended without closing. On ``close()`` the path is removed if it is still the file that this listener made: a server that has taken its place keeps it.
public final class UnixListener: StreamListener, @unchecked Sendable {
    // Sendable: the core is touched on the loop's thread only, apart from its constants.

    /// What becomes of a socket that is at the path already.
    public enum ExistingSocket: Sendable {
        /// It stays, and `listen` throws, also if nobody has it open any more.
        case refuse
        /// Replaced if no process has it open; otherwise `listen` throws.
        ///
        /// Servers that start at once agree by a lock on the folder (flock(2)), so that just one of them listens.
        case replaceIfDead
        /// Replaced, also if another server listens there: without a moment in which a client is refused. That one keeps the connections that it has, and those in its
        /// backlog: for a restart that loses none. What this end is bound to is then another name (``UnixStream/localAddress()``).
        case takeOver
    }

    let core: ListenerCore
    public var loop: EventLoop { core.loop }
    public let address: UnixAddress

    /// Listens at an address, on the caller's loop or the one named, whose thread must be the caller's.
    ///
    /// May block for up to 100 ms, while other servers bind in the same folder.
    /// - Parameters:
    ///   - backlog: how many connections the kernel holds until they are taken; it uses no more than `net.core.somaxconn`.
    ///   - permissions: of the socket's file, as in chmod(2), such as 0o660: to connect takes permission to write. They are set before anybody can connect. Nil is
    ///     what the umask leaves of 0o777. An abstract name has none.
    ///   - existing: what becomes of a socket that is at the path already.
    ///   - acceptsDescriptors: of the streams that it accepts; see ``UnixStream/connect(to:acceptsDescriptors:on:file:line:)``.
    /// - Throws: `LoopError` `.system` with what to do about it: EADDRINUSE if a server is there, ENOTSOCK if something else is; `.invalidAddress`; `.misuse` where there is
    ///   no event loop, or on another thread than its own.
    public static func listen(
        at address: UnixAddress, backlog: Int = TCPListener.defaultBacklog, permissions: Int? = nil, existing: ExistingSocket = .replaceIfDead,
        acceptsDescriptors: Bool = false, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) throws -> UnixListener {
        if address.isUnnamed { throw LoopError(.invalidAddress, "listen", on: "\(address)", "nobody could find a socket without a name") }
        var options = ListenOptions(backlog: Int32(clamping: backlog))
        options.existing = existing
        options.acceptsDescriptors = acceptsDescriptors
        if let permissions {
            guard let mode = UInt32(exactly: permissions), mode <= 0o777, address.path != nil else {
                throw LoopError.misuse("listen", on: "\(address)", "permissions are 0 to 0o777, and only a path has them")
            }
            options.permissions = mode
        }
        return UnixListener(try ListenerCore(at: .unix(address), options, on: loop, file: file, line: line), address)
    }

    /// Listens at a path. See ``listen(at:backlog:permissions:existing:acceptsDescriptors:on:file:line:)``.
    public static func listen(
        path: String, backlog: Int = TCPListener.defaultBacklog, permissions: Int? = nil, existing: ExistingSocket = .replaceIfDead,
        acceptsDescriptors: Bool = false, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) throws -> UnixListener {
        try listen(
            at: UnixAddress(path: path), backlog: backlog, permissions: permissions, existing: existing, acceptsDescriptors: acceptsDescriptors, on: loop, file: file,
            line: line)
    }

    init(_ core: ListenerCore, _ address: UnixAddress) {
        self.core = core
        self.address = address
    }

    deinit {
        let core = core
        // After a close that was posted before. Refused by a closed loop only, which has closed the handle.
        if core.loop.isOwner { core.abandon() } else { _ = core.loop.inbox.post(.call { core.abandon() }) }
    }

    public var description: String { "Unix listener at \(address)" }

    /// How often a connection could not be taken because of a lack of descriptors or memory. See ``TCPListener/acceptFailures``.
    public var acceptFailures: Int { core.failures }

    /// Waits for the next connection and takes it.
    ///
    /// - Cancellation: lossless: the connection stays in the backlog, for the next one who accepts.
    /// - Throws: `LoopError` `.closed` if the listener is closed, also while it waits. That one connection failed is not an error: the next one is taken.
    public func accept(file: String = #fileID, line: Int = #line) async throws -> UnixStream {
        guard let task = loop.callingTask else {
            return try await bridged("UnixListener.accept", on: loop) { try await self.accept(file: file, line: line) }
        }
        let (transport, peer) = try await core.accept(by: task)
        var name = UnixAddress.unnamed
        if case .unix(let address) = peer { name = address }
        // Most clients are bound to nothing: then the listener's address says more.
        return UnixStream(
            transport, peer: name, as: name.isUnnamed ? .label("a client of \(address)") : peer, loop: loop, file: file, line: line)
    }

    /// Stops listening, at once, and removes the path if it is still this listener's. Tasks that wait in `accept` end with `.closed`; connections that nobody has taken
    /// are broken off by the system. Idempotent.
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

    static func advice(_ error: UVError) -> String {
        switch error.name {
        case "EADDRINUSE": "a socket that some process has open is there, or one that must not be replaced: end its server, or choose another address"
        case "ENOTSOCK": "what is at that path is no socket, and was not touched: remove it, or choose another path"
        case "EBUSY": "a dead socket is there, and its folder cannot be locked: remove it, or make the folder readable"
        case "ENOENT": "its folder does not exist"
        case "EACCES", "EPERM": "it takes write permission on the folder, and on a socket that is there already"
        case "EROFS": "choose a folder that can be written to, such as one in /run"
        case "ENAMETOOLONG": "to take over it is bound under another name first, for which the path of the folder is too long"
        case "EMFILE", "ENFILE": "raise the limit of open descriptors (ulimit -n)"
        default: ""
        }
    }
}
