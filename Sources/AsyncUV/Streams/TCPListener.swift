internal import UVCore

/// Takes TCP connections at an address.
///
/// A connection stays in the kernel's backlog until a task takes it with ``accept(file:line:)``. Several tasks may wait there; they are served first come, first served. When the
/// process runs out of descriptors or the system out of memory, the listener waits, 100 ms at first and then up to a second, and tries again, for as long as it
/// is open; each such time is reported once.
public final class TCPListener: @unchecked Sendable, CustomStringConvertible {
    // Sendable: all state is touched on the loop's thread only, apart from the constants.

    /// So many connections are taken in one turn at most: other tasks run, even while they come faster than they can be taken.
    public static let maximumAcceptsPerTurn = 64
    public static let defaultBacklog = 4096
    static let firstDelay = Duration.milliseconds(100)
    static let longestDelay = Duration.seconds(1)

    public let loop: EventLoop
    /// Where it listens, with the port that the system has chosen if 0 was asked for.
    public let address: SocketAddress
    private let file: String
    private let line: Int
    /// Owns the socket. Nil once closed.
    private var poll: UVPoll?
    private var isPolling = false
    /// Tasks in `accept`; only the first one is woken, and wakes the next when it leaves.
    private var waiters = WaitList()
    private var lastTurn: UInt64 = 0
    private var acceptsInTurn = 0
    /// Armed while the listener waits for descriptors or memory.
    private var retry: LoopTimer?
    private var nextDelay = TCPListener.firstDelay
    /// How often a connection could not be taken because of a lack of descriptors or memory. The connections were not lost by that, unless their clients gave up.
    /// On the loop's thread.
    public private(set) var acceptFailures = 0

    /// Listens at an address, on the caller's loop or the one named, whose thread must be the caller's.
    ///
    /// - Parameter backlog: how many connections the kernel holds until they are taken; it uses no more than `net.core.somaxconn`.
    /// - Throws: `LoopError` `.system` with what to do about it; `.misuse` where there is no event loop, or on another thread than its own.
    public static func listen(
        at address: SocketAddress, backlog: Int = defaultBacklog, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) throws -> TCPListener {
        let loop = try loop ?? EventLoop.requireCurrent("listen")
        if loop.isClosed { throw LoopError(.closed, "listen", on: "\(address)", "the loop is closed") }
        guard loop.isOwner else {
            throw LoopError.misuse("listen", on: "\(address)", "called on another thread; use loop.callSoonThreadsafe { … } or a LoopTask(on:)")
        }
        do {
            return try TCPListener(address, backlog: Int32(clamping: backlog), loop: loop, file: file, line: line)
        } catch let error as UVError {
            throw listenError(error, address)
        }
    }

    /// Listens at a host and a port.
    ///
    /// - Parameters:
    ///   - host: an address in digits; `0.0.0.0` is every IPv4 address of the machine, `::` every IPv6 address and no IPv4 one. `localhost` is 127.0.0.1.
    ///   - port: 0 for any free one: see ``address``.
    /// - Throws: as ``listen(at:backlog:on:file:line:)``; `.invalidAddress`.
    public static func listen(
        host: String, port: Int, backlog: Int = defaultBacklog, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) throws -> TCPListener {
        try listen(at: SocketAddress(host: host, port: port), backlog: backlog, on: loop, file: file, line: line)
    }

    private init(_ address: SocketAddress, backlog: Int32, loop: EventLoop, file: String, line: Int) throws {
        guard let uv = loop.uv else { throw LoopError(.closed, "listen", on: "\(address)", "the loop is closed") }
        let descriptor = try Sockets.listen(on: address.name, backlog: backlog)
        self.loop = loop
        self.file = file
        self.line = line
        self.address = SocketAddress(try Sockets.localName(descriptor.number))
        poll = try UVPoll(loop: uv, owning: descriptor) { [weak self] _ in self?.readable() }
    }

    deinit {
        guard let poll else { return }
        let report = LoopReport("a listener at \(address) was never closed", created: "\(file):\(line)")
        let loop = loop
        let release = {
            if poll.isClosing { return }
            loop.report(report)
            poll.close()
        }
        // Refused by a closed loop only, which has closed the handle.
        if loop.isOwner { release() } else { _ = loop.inbox.post(.immediate(release)) }
    }

    public var description: String { "TCP listener at \(address)" }

    // MARK: accepting

    /// Waits for the next connection and takes it.
    ///
    /// - Cancellation: lossless: the connection stays in the backlog, for the next one who accepts.
    /// - Throws: `LoopError` `.closed` if the listener is closed, also while it waits. That one connection failed is not an error: the next one is taken.
    public func accept(file: String = #fileID, line: Int = #line) async throws -> TCPStream {
        guard let task = loop.callingTask else {
            return try await bridged("TCPListener.accept", on: loop) { try await self.accept(file: file, line: line) }
        }
        if waiters.isEmpty {
            if !mayAcceptInThisTurn() {
                await task.parkForOneTurn()
                try task.throwIfInterrupted()
            }
            if let stream = try take(file, line) { return stream }
        }
        waiters.append(task)
        defer { leave(task) }
        while true {
            try waitForConnections()
            loop.outstanding += 1
            await task.park(.leave)
            loop.outstanding -= 1
            try task.throwIfInterrupted()
            if let stream = try take(file, line) { return stream }
        }
    }

    private func mayAcceptInThisTurn() -> Bool {
        if lastTurn != loop.turn {
            lastTurn = loop.turn
            acceptsInTurn = 0
        }
        acceptsInTurn += 1
        return acceptsInTurn <= TCPListener.maximumAcceptsPerTurn
    }

    /// Nil if there is no connection now, or none can be taken.
    private func take(_ file: String, _ line: Int) throws -> TCPStream? {
        if retry != nil { return nil }
        for _ in 0..<TCPListener.maximumAcceptsPerTurn {
            guard let poll, !poll.isClosing else { throw closedError }
            switch Sockets.accept(poll.descriptor) {
            case .connection(let descriptor, let peer):
                nextDelay = TCPListener.firstDelay
                do {
                    return try TCPStream(descriptor, peer: SocketAddress(peer), loop: loop, file: file, line: line)
                } catch {
                    throw LoopError(error, "accept", on: "\(address)")
                }
            case .failed(let error):
                switch error.name {
                case "EAGAIN": return nil
                case "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM":
                    // With nobody there nothing has failed: whoever comes wakes the listener.
                    if Sockets.hasConnection(poll.descriptor) { backOff(error) }
                    return nil
                // Errors of one connection, which is gone: see accept(2).
                case "EINTR", "ECONNABORTED", "EPROTO", "EPERM", "ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN", "ENONET", "EHOSTUNREACH", "EOPNOTSUPP",
                    "ENETUNREACH", "ETIMEDOUT":
                    continue
                default: throw LoopError(error, "accept", on: "\(address)")
                }
            }
        }
        // Connections that fail one after the other: others have a turn before the next ones.
        return nil
    }

    /// Polling stays armed as long as somebody waits, so that a connection costs no system call but its own accept.
    private func waitForConnections() throws {
        guard let poll, !poll.isClosing else { throw closedError }
        if isPolling || retry != nil { return }
        do {
            try poll.start(.readable)
        } catch {
            throw LoopError(error, "accept", on: "\(address)")
        }
        isPolling = true
    }

    private func readable() {
        if let first = waiters.first {
            first.wake()
        } else {
            stopPolling()
        }
    }

    private func stopPolling() {
        poll?.stop()
        isPolling = false
    }

    private func leave(_ task: AnyLoopTask) {
        waiters.remove(task)
        if let next = waiters.first {
            // There may be another connection; and a wake-up that came to a cancelled task is passed on.
            next.wake()
        } else if let timer = retry.take() {
            loop.stopTimer(timer)
        }
    }

    private func backOff(_ error: UVError) {
        acceptFailures += 1
        if nextDelay == TCPListener.firstDelay {
            loop.report(
                LoopReport(
                    "connections wait until they can be taken",
                    error: LoopError(error, "accept", on: "\(address)", advice: "raise the limit (ulimit -n), or hold fewer connections")))
        }
        stopPolling()
        retry = loop.startTimer(
            at: loop.now.advanced(by: nextDelay),
            .call { [weak self] in
                guard let self else { return }
                retry = nil
                waiters.first?.wake()
            })
        nextDelay = min(nextDelay * 2, TCPListener.longestDelay)
    }

    // MARK: the end

    /// Stops listening, at once. Tasks that wait in `accept` end with `.closed`; connections that nobody has taken are broken off by the system. Idempotent.
    ///
    /// On the loop's thread; from another it is posted.
    public func close() {
        guard loop.isOwner else {
            // Refused by a closed loop only, which has closed the handle.
            _ = loop.inbox.post(.call { self.close() })
            return
        }
        poll?.close()
        poll = nil
        if let timer = retry.take() { loop.stopTimer(timer) }
        waiters.wakeAll()
    }

    public var isClosed: Bool { poll?.isClosing ?? true }

    private var closedError: LoopError { LoopError(.closed, "accept", on: "\(address)", "the listener is closed") }

    private static func listenError(_ error: UVError, _ address: SocketAddress) -> LoopError {
        let advice: String
        switch error.name {
        case "EADDRINUSE": advice = "another socket listens there: end its program, or choose another port (0 for any free one)"
        case "EADDRNOTAVAIL": advice = "no interface of this machine has that address (0.0.0.0 and :: are all of them)"
        case "EACCES": advice = "ports below 1024 need CAP_NET_BIND_SERVICE, or root"
        case "EMFILE", "ENFILE": advice = "raise the limit of open descriptors (ulimit -n)"
        case "EAFNOSUPPORT": advice = "this machine has no \(address.isIPv6 ? "IPv6" : "IPv4")"
        default: advice = ""
        }
        return LoopError(error, "listen", on: "\(address)", advice: advice)
    }
}
