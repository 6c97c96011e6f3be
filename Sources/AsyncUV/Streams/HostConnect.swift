internal import UVCore

extension TCPStream {
    /// How a host is connected to: see ``TCPStream/connect(host:port:options:on:file:line:)``.
    public struct ConnectOptions: Sendable {
        /// So long an address is tried alone, before the next one is tried beside it; 250 ms, as RFC 8305 recommends. Zero tries all at once.
        public var attemptDelay = Duration.milliseconds(250)
        /// So long each address is tried at most; nil leaves it to the system, which tries for about two minutes.
        public var attemptTimeout: Duration?
        /// So long the look-up and all attempts may take together; nil: without limit.
        public var timeout: Duration?
        /// Only addresses of this family.
        public var family = HostQuery.Family.any
        /// What this end is bound to, for attempts at addresses of the same family; port 0 is any free one.
        public var localAddress: SocketAddress?
        /// What the name is looked up by; nil takes the loop's.
        public var resolver: (any Resolver)?

        public init(timeout: Duration? = nil, attemptTimeout: Duration? = nil) {
            self.timeout = timeout
            self.attemptTimeout = attemptTimeout
        }
    }

    /// Connects to a host and a port: looks the name up, and tries its addresses, until one answers.
    ///
    /// The families are tried by turns, each address for a quarter of a second before the next is tried beside it; where one fails, the next begins at once
    /// (Happy Eyeballs, RFC 8305). The first connection is taken, and the other attempts are given up.
    /// - Parameters:
    ///   - host: a name, or an address in digits; `localhost` is `::1` and `127.0.0.1`.
    ///   - port: 1 to 65535.
    /// - Cancellation: throws in the next turn, and nothing is left: each attempt's socket is closed, and so is a connection that was just made. A look-up may go on unseen: see
    ///   ``SystemResolver``.
    /// - Throws: `LoopError` `.system` if no address could be connected to: it lists each of them with its reason, and has a `systemCode` if that is the same for all. `.timedOut`
    ///   after ``ConnectOptions/timeout``, or if every address took longer than ``ConnectOptions/attemptTimeout``; `.nameNotFound` and whatever else the look-up says; `.invalidAddress`; `.misuse` where there is no
    ///   event loop.
    public static func connect(
        host: String, port: Int, options: ConnectOptions = ConnectOptions(), on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) async throws -> TCPStream {
        guard let loop = loop ?? EventLoop.current, let task = loop.callingTask else {
            return try await bridged("TCPStream.connect", on: loop) {
                try await connect(host: host, port: port, options: options, on: loop, file: file, line: line)
            }
        }
        let query = try HostQuery(host: host, port: port, family: options.family)
        let deadline = options.timeout.map { loop.now.advanced(by: max($0, .zero)) }
        let addresses = try await resolve(query, options, deadline, loop)
        let race = ConnectRace(query, addresses, options, deadline, loop)
        race.onOutcome = { task.wake() }
        defer { race.cancel() }
        while true {
            if let (transport, address) = try race.advance() {
                return TCPStream(transport, peer: address, loop: loop, file: file, line: line)
            }
            let timer = race.wakeTime.map { loop.startTimer(at: $0, .wake(task)) }
            loop.networkWaits += 1
            await task.park(.leave)
            loop.networkWaits -= 1
            if let timer { loop.stopTimer(timer) }
            try task.throwIfInterrupted()
        }
    }

    private static func resolve(
        _ query: HostQuery, _ options: ConnectOptions, _ deadline: LoopInstant?, _ loop: EventLoop
    ) async throws -> [SocketAddress] {
        guard let deadline, let limit = options.timeout, query.ownAnswer == nil else {
            return try await loop.resolve(query, using: options.resolver).addresses
        }
        do {
            return try await withTimeout(until: deadline) { try await loop.resolve(query, using: options.resolver).addresses }
        } catch is TimeoutError where loop.now >= deadline {
            throw LoopError(.timedOut, "connect", on: query.description, "its name was not resolved within \(limit)")
        }
    }
}

/// The attempts at the addresses of one host. On the loop's thread.
private final class ConnectRace {
    private struct Entrant {
        let address: SocketAddress
        let attempt: any ConnectAttempt
        let deadline: LoopInstant?
    }

    private struct Failure {
        let address: SocketAddress
        /// Nil: its time was over.
        let error: UVError?
    }

    private let query: HostQuery
    private let options: TCPStream.ConnectOptions
    private let deadline: LoopInstant?
    private let loop: EventLoop
    private var schedule: AttemptSchedule
    /// In the order in which they began.
    private var underWay: [Entrant] = []
    private var failures: [Failure] = []
    var onOutcome: () -> Void = {}

    init(_ query: HostQuery, _ addresses: [SocketAddress], _ options: TCPStream.ConnectOptions, _ deadline: LoopInstant?, _ loop: EventLoop) {
        self.query = query
        self.options = options
        self.deadline = deadline
        self.loop = loop
        schedule = AttemptSchedule(addresses, delay: options.attemptDelay, now: loop.now)
    }

    /// Gives up what is under way. Idempotent.
    func cancel() {
        for entrant in underWay { entrant.attempt.cancel() }
        underWay.removeAll()
        onOutcome = {}
    }

    /// When to advance, even if there is no outcome.
    var wakeTime: LoopInstant? {
        ([schedule.wakeTime, deadline] + underWay.map(\.deadline)).compactMap { $0 }.min()
    }

    /// Looks at what has become of the attempts, and begins those whose time has come. A connection, if there is one; throws when there can be none any more.
    func advance() throws -> (any StreamTransport, SocketAddress)? {
        var stillUnderWay: [Entrant] = []
        for entrant in underWay {
            do throws(UVError) {
                if let transport = try entrant.attempt.takeConnection() { return (transport, entrant.address) }
            } catch {
                failed(entrant, error)
                continue
            }
            if let deadline = entrant.deadline, loop.now >= deadline {
                failed(entrant, nil)
            } else {
                stillUnderWay.append(entrant)
            }
        }
        underWay = stillUnderWay
        if let deadline, loop.now >= deadline { throw timedOut }
        while let address = schedule.takeNext(now: loop.now) {
            do throws(UVError) {
                if let transport = try begin(address) { return (transport, address) }
            } catch {
                failures.append(Failure(address: address, error: error))
                schedule.attemptFailed(now: loop.now)
            }
        }
        if underWay.isEmpty && schedule.wakeTime == nil { throw allFailed }
        return nil
    }

    private func begin(_ address: SocketAddress) throws(UVError) -> (any StreamTransport)? {
        var local: Endpoint?
        if let source = options.localAddress, source.isIPv6 == address.isIPv6 { local = .ip(source) }
        let attempt = try loop.network.connect(to: .ip(address), from: local, on: loop)
        do throws(UVError) {
            if let transport = try attempt.takeConnection() { return transport }
            try attempt.watch { [unowned self] in onOutcome() }
        } catch {
            attempt.cancel()
            throw error
        }
        underWay.append(Entrant(address: address, attempt: attempt, deadline: options.attemptTimeout.map { loop.now.advanced(by: max($0, .zero)) }))
        return nil
    }

    private func failed(_ entrant: Entrant, _ error: UVError?) {
        entrant.attempt.cancel()
        failures.append(Failure(address: entrant.address, error: error))
        schedule.attemptFailed(now: loop.now)
    }

    // MARK: what is thrown

    private var timedOut: LoopError {
        let reasons = failures.map(reason) + underWay.map { "\($0.address): no answer yet" }
        let what = reasons.isEmpty ? "" : ": " + ConnectRace.list(reasons)
        return LoopError(.timedOut, "connect", on: query.description, "no connection within \(options.timeout ?? .zero)\(what)")
    }

    private var allFailed: LoopError {
        let first = failures.first?.error
        let same = failures.allSatisfy { $0.error?.code == first?.code } ? first : nil
        let advice = same.map(connectAdvice) ?? ""
        let tail = advice.isEmpty ? "" : "; \(advice)"
        let code: LoopError.Code = failures.allSatisfy { $0.error == nil } ? .timedOut : .system
        if let only = failures.first, failures.count == 1 && query.ownAnswer != nil {
            // It was an address to begin with.
            return LoopError(code, "connect", on: "\(only.address)", reason(only, named: false) + tail, systemCode: same.map { -$0.code })
        }
        return LoopError(
            code, "connect", on: query.description, "no address answered: " + ConnectRace.list(failures.map(reason)) + tail, systemCode: same.map { -$0.code })
    }

    private func reason(_ failure: Failure) -> String { reason(failure, named: true) }

    private func reason(_ failure: Failure, named: Bool) -> String {
        let what = failure.error.map { "\($0.message) (\($0.name))" } ?? "no answer within \(options.attemptTimeout ?? .zero)"
        return named ? "\(failure.address): \(what)" : what
    }

    /// A name may have any number of addresses; a line of a log should not.
    private static func list(_ reasons: [String]) -> String {
        let limit = 16
        return reasons.prefix(limit).joined(separator: ", ") + (reasons.count > limit ? ", and \(reasons.count - limit) more" : "")
    }
}
