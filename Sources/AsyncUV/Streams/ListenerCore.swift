internal import UVCore

/// What all listeners have in common: who waits for connections, taking them, and backing off when there is no descriptor or memory for them. Apart from the public object,
/// so that letting go of that one closes this one.
///
/// On the loop's thread only.
final class ListenerCore: @unchecked Sendable {
    // Sendable only so that it can be handed back to its own thread.

    static let firstDelay = Duration.milliseconds(100)
    static let longestDelay = Duration.seconds(1)

    let loop: EventLoop
    let endpoint: Endpoint
    /// Where the listener was created.
    private let file: String
    private let line: Int
    /// Nil once closed.
    private(set) var transport: (any ListenerTransport)?
    private var isWatching = false
    /// Tasks in `accept`; only the first one is woken, and wakes the next when it leaves.
    private var waiters = WaitList()
    private var lastTurn: UInt64 = 0
    private var acceptsInTurn = 0
    /// Armed while the listener waits for descriptors or memory.
    private var retry: LoopTimer?
    private var nextDelay = ListenerCore.firstDelay
    private(set) var failures = 0

    /// - Throws: `LoopError` with what to do about it.
    init(at endpoint: Endpoint, _ options: ListenOptions, on given: EventLoop?, file: String, line: Int) throws {
        let loop = try given ?? EventLoop.requireCurrent("listen")
        if loop.isClosed { throw LoopError(.closed, "listen", on: "\(endpoint)", "the loop is closed") }
        guard loop.isOwner else {
            throw LoopError.misuse("listen", on: "\(endpoint)", "called on another thread; use loop.callSoonThreadsafe { … } or a LoopTask(on:)")
        }
        let transport: any ListenerTransport
        do {
            transport = try loop.network.listen(at: endpoint, options, on: loop)
        } catch {
            throw ListenerCore.listenError(error, endpoint)
        }
        self.loop = loop
        self.endpoint = transport.endpoint
        self.file = file
        self.line = line
        self.transport = transport
    }

    init(_ transport: any ListenerTransport, on loop: EventLoop, file: String, line: Int) {
        self.loop = loop
        self.endpoint = transport.endpoint
        self.file = file
        self.line = line
        self.transport = transport
    }

    /// The public object is gone.
    func abandon() {
        guard let transport, !transport.isClosed else { return }
        loop.report(LoopReport("a listener at \(endpoint) was never closed", created: "\(file):\(line)"))
        close()
    }

    // MARK: accepting

    typealias Connection = (transport: any StreamTransport, peer: Endpoint)

    func accept(by task: AnyLoopTask) async throws -> Connection {
        if waiters.isEmpty {
            if !mayAcceptInThisTurn() {
                await task.parkForOneTurn()
                try task.throwIfInterrupted()
            }
            if let connection = try take() { return connection }
        }
        waiters.append(task)
        defer { leave(task) }
        while true {
            try waitForConnections()
            loop.outstanding += 1
            await task.park(.leave)
            loop.outstanding -= 1
            try task.throwIfInterrupted()
            if let connection = try take() { return connection }
        }
    }

    private func mayAcceptInThisTurn() -> Bool {
        if lastTurn != loop.turn {
            lastTurn = loop.turn
            acceptsInTurn = 0
        }
        acceptsInTurn += 1
        return acceptsInTurn <= EventLoop.maximumAcceptsPerTurn
    }

    /// Nil if there is no connection now, or none can be taken.
    private func take() throws -> Connection? {
        if retry != nil { return nil }
        var last: UVError?
        for _ in 0..<EventLoop.maximumAcceptsPerTurn {
            guard let transport, !transport.isClosed else { throw closedError }
            switch transport.accept() {
            case .connection(let connection, let peer):
                nextDelay = ListenerCore.firstDelay
                return (connection, peer)
            case .failed(let error):
                switch error.name {
                case "EAGAIN": return nil
                case "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM":
                    // With nobody there nothing has failed: whoever comes wakes the listener.
                    if transport.hasConnection { backOff(error) }
                    return nil
                // Errors of one connection, which is gone: see accept(2).
                case "EINTR", "ECONNABORTED", "EPROTO", "EPERM", "ENETDOWN", "ENOPROTOOPT", "EHOSTDOWN", "ENONET", "EHOSTUNREACH", "EOPNOTSUPP",
                    "ENETUNREACH", "ETIMEDOUT":
                    last = error
                default: throw LoopError(error, "accept", on: "\(endpoint)")
                }
            }
        }
        // So many that fail one after the other are perhaps one that is refused (by a filter of system calls, say) and stays where it is: not again and again.
        if let last { backOff(last) }
        return nil
    }

    /// Polling stays armed as long as somebody waits, so that a connection costs no system call but its own accept.
    private func waitForConnections() throws {
        guard let transport, !transport.isClosed else { throw closedError }
        if isWatching || retry != nil { return }
        do {
            try transport.watch { [unowned self] in connectionArrived() }
        } catch {
            throw LoopError(error, "accept", on: "\(endpoint)")
        }
        isWatching = true
    }

    private func connectionArrived() {
        if let first = waiters.first {
            first.wake()
        } else {
            stopWatching()
        }
    }

    private func stopWatching() {
        transport?.stopWatching()
        isWatching = false
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
        failures += 1
        if nextDelay == ListenerCore.firstDelay {
            let isLimit = error.name == "EMFILE" || error.name == "ENFILE"
            loop.report(
                LoopReport(
                    "connections wait until they can be taken",
                    error: LoopError(error, "accept", on: "\(endpoint)", advice: isLimit ? "raise the limit (ulimit -n), or hold fewer connections" : "")))
        }
        stopWatching()
        retry = loop.startTimer(
            at: loop.now.advanced(by: nextDelay),
            .call { [weak self] in
                guard let self else { return }
                retry = nil
                waiters.first?.wake()
            })
        nextDelay = min(nextDelay * 2, ListenerCore.longestDelay)
    }

    // MARK: the end

    func close() {
        transport?.close()
        transport = nil
        if let timer = retry.take() { loop.stopTimer(timer) }
        waiters.wakeAll()
    }

    private var closedError: LoopError { LoopError(.closed, "accept", on: "\(endpoint)", "the listener is closed") }

    private static func listenError(_ error: UVError, _ endpoint: Endpoint) -> LoopError {
        if case .unix = endpoint { return LoopError(error, "listen", on: "\(endpoint)", advice: UnixListener.advice(error)) }
        let advice: String
        switch error.name {
        case "EADDRINUSE": advice = "another socket listens there: end its program, or choose another port (0 for any free one)"
        case "EADDRNOTAVAIL": advice = "no interface of this machine has that address (0.0.0.0 and :: are all of them)"
        case "EACCES": advice = "ports below 1024 need CAP_NET_BIND_SERVICE, or root"
        case "EMFILE", "ENFILE": advice = "raise the limit of open descriptors (ulimit -n)"
        case "EAFNOSUPPORT": advice = "this machine has no such addresses"
        default: advice = ""
        }
        return LoopError(error, "listen", on: "\(endpoint)", advice: advice)
    }
}

extension EventLoop {
    /// So many connections a listener hands out in one turn at most: other tasks run, even while they come faster than they can be taken.
    public static let maximumAcceptsPerTurn = 64
}
