internal import UVCore

/// Sends and receives UDP datagrams, over IPv4 or IPv6.
///
/// ```swift
/// let socket = try UDPSocket.bind(host: "127.0.0.1", port: 5353)
/// for try await datagram in socket.datagrams {
///     try await socket.send(answer(datagram.bytes), to: datagram.sender)
/// }
/// ```
///
/// A datagram stays in the kernel until a task takes it: nothing is read ahead. The kernel's queue is bounded; what comes while it is full is dropped, and
/// counted (``droppedCount()``). Several tasks may receive, and several send: each kind is served first come, first served.
///
/// Operations that wait may be called from anywhere, the others on the loop's thread. Whoever has a socket closes it; one that is let go of unclosed is closed and reported.
public final class UDPSocket: @unchecked Sendable, CustomStringConvertible {
    // Sendable: all state is touched on the loop's thread only, apart from the constants.

    /// So many datagrams are received, and so many sent, in one turn at most: other tasks run, even while they come faster than they can be taken.
    public static let maximumDatagramsPerTurn = 64
    /// So many datagrams are received or sent by one call at most.
    public static let maximumBatch = DatagramMemory.slots

    public let loop: EventLoop
    /// Where it is bound, with the port that the system has chosen if 0 was asked for.
    public let address: SocketAddress
    /// The only one that it sends to and receives from; nil if it is not connected.
    public let peerAddress: SocketAddress?
    public let maximumDatagramSize: Int
    let transport: any DatagramTransport
    private let file: String
    private let line: Int

    // MARK: receiving: see UDPReceiving

    /// Tasks that wait for a datagram; only the first one is woken, and wakes the next when it leaves.
    var receivers = WaitList()
    var receiveBudget = TurnBudget()
    /// What came back, and has not been thrown yet.
    let keepsErrors: Bool
    var returnedErrors: [ReturnedError] = []
    /// What was dropped, as it was last asked for.
    var dropped: UInt64 = 0

    // MARK: sending: see UDPSending

    /// Tasks that wait until the system takes a datagram; only the first one tries.
    var senders = WaitList()
    var sendBudget = TurnBudget()

    /// What is being watched for.
    private(set) var watched: UVPoll.Events = []

    /// A socket at an address, on the caller's loop or the one named, whose thread must be the caller's.
    ///
    /// - Parameter address: port 0 is any free one: see ``address``.
    /// - Throws: `LoopError` `.system` with what to do about it; `.misuse` where there is no event loop, or on another thread than its own, or for options out of range.
    public static func bind(
        to address: SocketAddress, _ options: UDPOptions = UDPOptions(), on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) throws -> UDPSocket {
        try make("bind", at: address, to: nil, options, loop, file, line)
    }

    /// A socket at a host and a port.
    ///
    /// - Parameters:
    ///   - host: an address in digits; `0.0.0.0` is every IPv4 address of the machine, `::` every IPv6 address. `localhost` is 127.0.0.1.
    ///   - port: 0 for any free one: see ``address``.
    /// - Throws: as ``bind(to:_:on:file:line:)``; `.invalidAddress`.
    public static func bind(
        host: String, port: Int, _ options: UDPOptions = UDPOptions(), on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) throws -> UDPSocket {
        try bind(to: SocketAddress(host: host, port: port), options, on: loop, file: file, line: line)
    }

    /// A socket with one peer: it sends to no other, hears from no other, and is told if what it sends is not delivered. Nothing is sent by this, so it does not fail
    /// if nobody is there.
    ///
    /// - Parameter local: what it is bound to; by default any free port of the address from which the peer is reached.
    /// - Throws: as ``bind(to:_:on:file:line:)``.
    public static func connect(
        to peer: SocketAddress, from local: SocketAddress? = nil, _ options: UDPOptions = UDPOptions(), on loop: EventLoop? = nil, file: String = #fileID,
        line: Int = #line
    ) throws -> UDPSocket {
        if let local, local.isIPv6 != peer.isIPv6 {
            throw LoopError.misuse("connect", on: "\(peer)", "from \(local): both must be IPv4, or both IPv6")
        }
        return try make("connect", at: local, to: peer, options, loop, file, line)
    }

    private static func make(
        _ operation: String, at local: SocketAddress?, to peer: SocketAddress?, _ options: UDPOptions, _ loop: EventLoop?, _ file: String, _ line: Int
    ) throws -> UDPSocket {
        let loop = try loop ?? EventLoop.requireCurrent("UDPSocket.\(operation)")
        let subject = (peer ?? local)?.description ?? ""
        if loop.isClosed { throw LoopError(.closed, operation, on: subject, "the loop is closed") }
        guard loop.isOwner else {
            throw LoopError.misuse(operation, on: subject, "called on another thread; use loop.callSoonThreadsafe { … } or a LoopTask(on:)")
        }
        if !(1...65_535).contains(options.maximumDatagramSize) {
            throw LoopError.misuse(operation, on: subject, "a maximum datagram size of \(options.maximumDatagramSize): it is 1 to 65535 bytes")
        }
        if peer?.port == 0 { throw LoopError(.invalidAddress, operation, on: subject, "port 0 is no destination") }
        do {
            let transport = try loop.network.datagrams(at: local, to: peer, try setup(options, operation, subject), on: loop)
            return UDPSocket(transport, options, on: loop, file: file, line: line)
        } catch let error as UVError {
            throw makeError(error, operation, local: local, peer: peer)
        }
    }

    init(_ transport: any DatagramTransport, _ options: UDPOptions, on loop: EventLoop, file: String, line: Int) {
        self.loop = loop
        self.transport = transport
        address = transport.localAddress
        peerAddress = transport.peerAddress
        maximumDatagramSize = options.maximumDatagramSize
        keepsErrors = options.reportsUndelivered || transport.peerAddress != nil
        self.file = file
        self.line = line
    }

    private static func setup(_ options: UDPOptions, _ operation: String, _ subject: String) throws -> DatagramSetup {
        func bytes(_ count: Int?, _ which: String) throws -> Int32? {
            guard let count else { return nil }
            guard count > 0, let bytes = Int32(exactly: count) else {
                throw LoopError.misuse(operation, on: subject, "a \(which) buffer of \(count) bytes: it is 1 to \(Int32.max)")
            }
            return bytes
        }
        var setup = DatagramSetup()
        setup.reusesAddress = options.reusesAddress
        setup.reusesPort = options.reusesPort
        setup.isIPv6Only = options.isIPv6Only
        setup.allowsBroadcast = options.allowsBroadcast
        setup.receiveBuffer = try bytes(options.receiveBufferSize, "receive")
        setup.sendBuffer = try bytes(options.sendBufferSize, "send")
        setup.keepsErrors = options.reportsUndelivered
        setup.tellsDestination = options.tellsDestination
        return setup
    }

    deinit {
        let transport = transport
        if transport.isClosed { return }
        let report = LoopReport("a UDP socket at \(address) was never closed", created: "\(file):\(line)")
        let loop = loop
        let release = {
            if transport.isClosed { return }
            loop.report(report)
            transport.close()
        }
        // Refused by a closed loop only, which has closed the socket.
        if loop.isOwner { release() } else { _ = loop.inbox.post(.immediate(release)) }
    }

    public var description: String {
        if let peerAddress { return "UDP socket at \(address) to \(peerAddress)" }
        return "UDP socket at \(address)"
    }

    // MARK: readiness

    /// Watching for datagrams goes on as long as somebody waits, so that one costs no system call but its own; for room only until there is some.
    func watch(_ events: UVPoll.Events) throws(UVError) {
        if watched.isSuperset(of: events) { return }
        let all = watched.union(events)
        watched = []
        try transport.watch(all) { [weak self] in self?.isReady($0) }
        watched = all
    }

    private func unwatch(_ events: UVPoll.Events) {
        let rest = watched.subtracting(events)
        watched = []
        do {
            try transport.watch(rest) { [weak self] in self?.isReady($0) }
            watched = rest
        } catch {
            // Whoever waits finds out by trying.
            receivers.first?.wake()
            senders.first?.wake()
        }
    }

    /// - Parameter events: nil if an error has come back, and nothing is watched any more.
    private func isReady(_ events: UVPoll.Events?) {
        guard let events else {
            watched = []
            _ = collectReturnedErrors()
            receivers.first?.wake()
            senders.first?.wake()
            return
        }
        var unneeded: UVPoll.Events = []
        if events.contains(.readable) {
            if let first = receivers.first { first.wake() } else { unneeded.insert(.readable) }
        }
        if events.contains(.writable) {
            unneeded.insert(.writable)
            senders.first?.wake()
        }
        if !unneeded.isEmpty { unwatch(unneeded) }
    }

    // MARK: the end

    /// Closes, at once. Tasks that wait to receive or to send end with `.closed`; what nobody has received is dropped. What was sent before is not recalled. Idempotent.
    ///
    /// On the loop's thread; from another it is posted.
    public func close() {
        guard loop.isOwner else {
            // Refused by a closed loop only, which has closed the socket.
            _ = loop.inbox.post(.call { self.close() })
            return
        }
        if transport.isClosed { return }
        rememberDropped()
        transport.close()
        returnedErrors.removeAll()
        receivers.wakeAll()
        senders.wakeAll()
    }

    /// On the loop's thread.
    public var isClosed: Bool { transport.isClosed }

    /// The first part of every call.
    func open(_ operation: String) throws -> any DatagramTransport {
        guard loop.isOwner else {
            throw LoopError.misuse(operation, on: "\(address)", "called on another thread; use loop.callSoonThreadsafe { … }")
        }
        if transport.isClosed { throw LoopError(.closed, operation, on: "\(address)", "the socket is closed") }
        return transport
    }
}

/// How much may be done in one turn without waiting.
struct TurnBudget {
    private var turn = UInt64.max
    private var used = 0

    mutating func isLeft(in turn: UInt64) -> Bool {
        if self.turn != turn {
            self.turn = turn
            used = 0
        }
        return used < UDPSocket.maximumDatagramsPerTurn
    }

    mutating func use(_ count: Int) { used += count }
}
