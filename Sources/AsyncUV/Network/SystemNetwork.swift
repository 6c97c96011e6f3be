package import UVCore

/// The machine's own network: the kernel's sockets, on the loop's libuv. It has no state.
final class SystemNetwork: Network {
    static let shared = SystemNetwork()

    var isOutside: Bool { true }
    var resolver: any Resolver { SystemResolver.shared }

    func connect(to remote: Endpoint, from local: Endpoint?, acceptsDescriptors: Bool, on loop: EventLoop) throws(UVError) -> any ConnectAttempt {
        if case .unix(let address) = remote {
            return try SystemUnixConnect(to: address.name, from: local, acceptsDescriptors: acceptsDescriptors, loop)
        }
        guard case .ip(let address) = remote else { throw UVError.notSupported("connect") }
        var source: SocketName?
        if let local {
            guard case .ip(let address) = local else { throw UVError.notSupported("bind") }
            source = address.name
        }
        return try SystemConnectAttempt(try Sockets.connect(to: address.name, from: source), .tcp, loop)
    }

    func listen(at endpoint: Endpoint, _ options: ListenOptions, on loop: EventLoop) throws(UVError) -> any ListenerTransport {
        if case .unix(let address) = endpoint { return try SystemUnixListener(at: address, options, loop) }
        guard case .ip(let address) = endpoint else { throw UVError.notSupported("listen") }
        let descriptor = try Sockets.listen(on: address.name, backlog: options.backlog, reusePort: options.reusePort)
        let name = SocketAddress(try Sockets.localName(descriptor.number))
        return try SystemListener(descriptor, .tcp, at: .ip(name), loop)
    }

    func datagrams(at local: SocketAddress?, to peer: SocketAddress?, _ setup: DatagramSetup, on loop: EventLoop) throws(UVError) -> any DatagramTransport {
        try SystemDatagrams(at: local, to: peer, setup, on: loop)
    }
}

extension EventLoop {
    /// libuv's loop, for what has to be open.
    func openUV(_ call: String) throws(UVError) -> UVLoop {
        guard let uv else { throw UVError(code: UVError.cancelled, call: call) }
        return uv
    }

    /// A stream over a connected, non-blocking descriptor, which is closed on an error.
    func makeTransport(_ kind: UVStream.Kind, _ descriptor: consuming Descriptor) throws(UVError) -> UVStream {
        try UVStream(kind, descriptor, loop: openUV("uv_stream_init"), pool: chunks)
    }
}

extension UVStream: StreamTransport {
    package func localEndpoint() throws(UVError) -> Endpoint {
        if let name = try Sockets.localUnixName(descriptor) { return .unix(UnixAddress(name)) }
        return .ip(SocketAddress(try Sockets.localName(descriptor)))
    }
}

extension ThreadedStream: StreamTransport {
    package func localEndpoint() throws(UVError) -> Endpoint { throw UVError.notSupported("getsockname") }
}

/// A socket of ours that connects, and a poll that knows when it is done: a uv_tcp_connect that is given up would have to be waited for.
private final class SystemConnectAttempt: ConnectAttempt {
    private let loop: EventLoop
    private let kind: UVStream.Kind
    /// Connected at once.
    private var connected: Descriptor?
    /// Owns the socket while it is under way.
    private var poll: UVPoll?
    private var onOutcome: (() -> Void)?
    private var hasOutcome = false

    init(_ connecting: consuming Sockets.Connecting, _ kind: UVStream.Kind, _ loop: EventLoop) throws(UVError) {
        self.loop = loop
        self.kind = kind
        switch consume connecting {
        case .connected(let descriptor): connected = consume descriptor
        case .underWay(let descriptor):
            poll = try UVPoll(loop: loop.openUV("connect"), owning: descriptor) { [unowned self] _ in
                hasOutcome = true
                onOutcome?()
            }
        }
    }

    deinit { poll?.close() }

    func watch(_ onOutcome: @escaping () -> Void) throws(UVError) {
        self.onOutcome = onOutcome
        try poll?.start(.writable)
    }

    func takeConnection() throws(UVError) -> (any StreamTransport)? {
        if let descriptor = connected.take() { return try loop.makeTransport(kind, descriptor) }
        guard let poll else { throw UVError(code: UVError.cancelled, call: "connect") }
        if !hasOutcome && !poll.isClosing { return nil }
        defer { cancel() }
        if let error = Sockets.pendingError(poll.descriptor) { throw error }
        guard let descriptor = poll.takeDescriptor() else { throw UVError(code: UVError.cancelled, call: "connect") }
        return try loop.makeTransport(kind, descriptor)
    }

    func cancel() {
        connected = nil
        onOutcome = nil
        // Closes the descriptor too, unless it was taken.
        poll?.close()
        poll = nil
    }
}

/// A listening socket of ours, and a poll: libuv's own way closes connections unseen when descriptors run out, or spins.
final class SystemListener: ListenerTransport {
    let endpoint: Endpoint
    private let kind: UVStream.Kind
    private let loop: EventLoop
    /// Owns the socket.
    private var poll: UVPoll?
    private var onConnection: (() -> Void)?

    init(_ descriptor: consuming Descriptor, _ kind: UVStream.Kind, at endpoint: Endpoint, _ loop: EventLoop) throws(UVError) {
        self.endpoint = endpoint
        self.kind = kind
        self.loop = loop
        poll = try UVPoll(loop: loop.openUV("listen"), owning: descriptor) { [unowned self] _ in onConnection?() }
    }

    deinit { poll?.close() }

    func accept() -> AcceptOutcome {
        guard let poll else { return .failed(UVError(code: UVError.cancelled, call: "accept4")) }
        switch Sockets.accept(poll.descriptor) {
        case .connection(let descriptor, let peer):
            do throws(UVError) {
                return .connection(try loop.makeTransport(kind, descriptor), peer: .ip(SocketAddress(peer)))
            } catch {
                return .failed(error)
            }
        case .failed(let error): return .failed(error)
        }
    }

    var hasConnection: Bool { poll.map { Sockets.hasConnection($0.descriptor) } ?? false }

    func watch(_ onConnection: @escaping () -> Void) throws(UVError) {
        self.onConnection = onConnection
        try poll?.start(.readable)
    }

    func stopWatching() { poll?.stop() }

    var isClosed: Bool { poll?.isClosing ?? true }

    func close() {
        poll?.close()
        poll = nil
        onConnection = nil
    }

    var descriptor: Int32 { poll?.descriptor ?? -1 }
}
