internal import UVCore

/// A Unix socket that connects. The system does that at once, or refuses; only a listener whose backlog is full makes it wait, and nothing tells when there is room.
final class SystemUnixConnect: ConnectAttempt {
    private static let firstDelay: UInt64 = 1
    private static let longestDelay: UInt64 = 64

    private let loop: EventLoop
    private let name: UnixName
    private let acceptsDescriptors: Bool
    /// Nil once it was given away, or given up.
    private var socket: Descriptor?
    private var outcome: Result<Void, UVError>?
    private var onOutcome: (() -> Void)?
    /// The system's time, whichever clock the loop has: it is the system that is waited for.
    private var timer: UVTimer?
    private var nextDelay = SystemUnixConnect.firstDelay

    init(to name: UnixName, from local: Endpoint?, acceptsDescriptors: Bool, _ loop: EventLoop) throws(UVError) {
        self.loop = loop
        self.acceptsDescriptors = acceptsDescriptors
        self.name = name
        let socket = try Sockets.openUnix()
        if let local {
            guard case .unix(let address) = local else { throw UVError.notSupported("bind") }
            try Sockets.bindUnix(socket, to: address.name)
        }
        if try Sockets.connectUnix(socket, to: name) { outcome = .success(()) }
        self.socket = consume socket
    }

    deinit { timer?.close() }

    func watch(_ onOutcome: @escaping () -> Void) throws(UVError) {
        self.onOutcome = onOutcome
        if outcome != nil || socket == nil { return }
        timer = try UVTimer(loop: loop.openUV("connect")) { [unowned self] _ in tryAgain() }
        wait()
    }

    private func wait() {
        timer?.loop.updateTime()
        timer?.start(milliseconds: nextDelay)
        nextDelay = min(nextDelay * 2, SystemUnixConnect.longestDelay)
    }

    private func tryAgain() {
        guard socket != nil else { return }
        do throws(UVError) {
            if try connectNow() { outcome = .success(()) }
        } catch {
            outcome = .failure(error)
        }
        if outcome == nil { wait() } else { onOutcome?() }
    }

    private func connectNow() throws(UVError) -> Bool {
        guard let descriptor = socket.take() else { return false }
        let isConnected = try Sockets.connectUnix(descriptor, to: name)
        socket = consume descriptor
        return isConnected
    }

    func takeConnection() throws(UVError) -> (any StreamTransport)? {
        // The loop has closed the timer: there is nobody left who would try again.
        if outcome == nil, timer?.isClosing ?? false { throw UVError(code: UVError.cancelled, call: "connect") }
        guard let outcome else { return nil }
        defer { cancel() }
        try outcome.get()
        guard let descriptor = socket.take() else { throw UVError(code: UVError.cancelled, call: "connect") }
        return try loop.makeUnixTransport(descriptor, acceptsDescriptors: acceptsDescriptors)
    }

    func cancel() {
        socket = nil
        onOutcome = nil
        timer?.close()
        timer = nil
    }
}

/// A listening Unix socket, and a poll. Its path goes when it closes, if it is still its own.
final class SystemUnixListener: ListenerTransport {
    let endpoint: Endpoint
    private let loop: EventLoop
    private let acceptsDescriptors: Bool
    /// Owns the socket.
    private var poll: UVPoll?
    private var onConnection: (() -> Void)?

    init(at address: UnixAddress, _ options: ListenOptions, _ loop: EventLoop) throws(UVError) {
        let uv = try loop.openUV("listen")
        self.loop = loop
        acceptsDescriptors = options.acceptsDescriptors
        endpoint = .unix(address)
        if address.path == nil {
            let socket = try Sockets.openUnix()
            try Sockets.bindUnix(socket, to: address.name)
            try Sockets.listenUnix(socket, backlog: options.backlog)
            poll = try UVPoll(loop: uv, owning: socket) { [unowned self] _ in onConnection?() }
        } else {
            let listening = try UnixPath.listen(at: address.name, options)
            let path = listening.path
            do throws(UVError) {
                poll = try UVPoll(loop: uv, owning: listening.socket) { [unowned self] _ in onConnection?() }
            } catch {
                path.remove()
                throw error
            }
            // Also when it is the loop that closes.
            poll?.beforeClose = { path.remove() }
        }
    }

    /// Over a socket that listens already. Its path stays: others have made it.
    init(adopting descriptor: consuming Descriptor, at address: UnixAddress, acceptsDescriptors: Bool, _ loop: EventLoop) throws(UVError) {
        self.loop = loop
        self.acceptsDescriptors = acceptsDescriptors
        endpoint = .unix(address)
        poll = try UVPoll(loop: loop.openUV("listen"), owning: descriptor) { [unowned self] _ in onConnection?() }
    }

    deinit { poll?.close() }

    func accept() -> AcceptOutcome {
        guard let poll else { return .failed(UVError(code: UVError.cancelled, call: "accept4")) }
        switch Sockets.acceptUnix(poll.descriptor) {
        case .connection(let descriptor, let peer):
            do throws(UVError) {
                return .connection(try loop.makeUnixTransport(descriptor, acceptsDescriptors: acceptsDescriptors), peer: .unix(UnixAddress(peer)))
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

extension SystemNetwork {
    func pair(acceptsDescriptors: Bool, on loop: EventLoop) throws(UVError) -> (near: any StreamTransport, far: any StreamTransport) {
        switch try Sockets.unixPair() {
        case .pair(let near, let far):
            let first = try loop.makeUnixTransport(near, acceptsDescriptors: acceptsDescriptors)
            do throws(UVError) {
                return (first, try loop.makeUnixTransport(far, acceptsDescriptors: acceptsDescriptors))
            } catch {
                first.close()
                throw error
            }
        }
    }
}

extension EventLoop {
    /// A stream over a connected, non-blocking descriptor, which is closed on an error.
    func makeUnixTransport(_ descriptor: consuming Descriptor, acceptsDescriptors: Bool) throws(UVError) -> any StreamTransport {
        if acceptsDescriptors { return try PassingStream(descriptor, self) }
        return try makeTransport(.pipe, descriptor)
    }
}
