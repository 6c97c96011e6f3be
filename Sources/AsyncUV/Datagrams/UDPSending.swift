internal import UVCore

// Sending: the system is tried at once. If it has no room the tasks wait in line, and only the first one tries again. Nothing is queued here: a task that is cancelled
// while it waits has sent nothing.

extension UDPSocket {
    /// When the system has no memory for a datagram, it is tried again after this time, then after twice that, and so on…
    static let firstDelay = Duration.milliseconds(1)
    /// …so often, which takes half a second in all; then the error is thrown.
    static let maximumAttempts = 10

    /// Sends a datagram: returns when the system has taken it. Whether it arrives nobody knows.
    ///
    /// Waits while the system has no room. An empty one is sent too.
    /// - Parameters:
    ///   - bytes: at most 65,507 to an IPv4 address, 65,527 to an IPv6 one; what is larger than a packet of the network travels in pieces, of which none may be lost.
    ///   - address: where to; on a connected socket nil, or its peer.
    /// - Cancellation: lossless: a call that throws has sent nothing.
    /// - Throws: `LoopError` `.closed` if the socket is closed, also while it waits; `.undelivered` on a connected socket, if an *earlier* datagram could not be delivered: this
    ///   one has not been sent, call again; `.invalidAddress`; `.misuse` without an address, or with another one than the peer's; `.system`, with EMSGSIZE for one that is too
    ///   large, ENETUNREACH without a route, EACCES for a broadcast that was not allowed.
    public func send(_ bytes: [UInt8], to address: SocketAddress? = nil) async throws {
        guard let task = loop.callingTask else {
            return try await bridged("UDPSocket.send", on: loop) { try await self.send(bytes, to: address) }
        }
        try check(address)
        if senders.isEmpty && sendBudget.isLeft(in: loop.turn) {
            if case .sent = try attempt(bytes, address) { return }
        }
        _ = try await waitToSend(task) { try attempt(bytes, address) }
    }

    /// Sends as many datagrams of a sequence as the system takes at once, in their order, by one system call. Waits only while it takes none.
    ///
    /// ```swift
    /// var rest = datagrams[...]
    /// while !rest.isEmpty { rest = rest.dropFirst(try await socket.send(batch: rest)) }
    /// ```
    /// - Returns: how many were sent: the first ones; at least one, and at most ``maximumBatch``. 0 only if there are none.
    /// - Cancellation: lossless: a call that throws has sent nothing.
    /// - Throws: as ``send(_:to:)``, about the first datagram of the sequence: none has been sent. What is wrong with a later one is thrown when that is the first.
    public func send(batch datagrams: ArraySlice<OutgoingDatagram>) async throws -> Int {
        guard let task = loop.callingTask else {
            return try await bridged("UDPSocket.send", on: loop) { try await self.send(batch: datagrams) }
        }
        _ = try open("send")
        guard let first = datagrams.first else { return 0 }
        try check(first.address)
        let sound = datagrams.prefix(UDPSocket.maximumBatch).prefix { addressError($0.address) == nil }
        if senders.isEmpty && sendBudget.isLeft(in: loop.turn) {
            if case .sent(let count) = try attempt(sound) { return count }
        }
        return try await waitToSend(task) { try attempt(sound) }
    }

    /// As ``send(batch:)-(ArraySlice<OutgoingDatagram>)``.
    public func send(batch datagrams: [OutgoingDatagram]) async throws -> Int {
        try await send(batch: datagrams[...])
    }

    /// Sends a datagram if the system takes it now and nobody waits to send; otherwise returns false, and nothing has been sent. On the loop's thread.
    ///
    /// - Throws: as ``send(_:to:)``; `.misuse` on another thread.
    public func trySend(_ bytes: [UInt8], to address: SocketAddress? = nil) throws -> Bool {
        _ = try open("send")
        try check(address)
        if !senders.isEmpty { return false }
        if case .sent = try attempt(bytes, address) { return true }
        return false
    }

    // MARK: what can be sent where

    private func check(_ address: SocketAddress?) throws {
        if let error = addressError(address) { throw error }
    }

    private func addressError(_ address: SocketAddress?) -> LoopError? {
        guard let address else {
            return peerAddress == nil ? LoopError.misuse("send", on: "\(self.address)", "no address: give one, or make the socket by connect(to:)") : nil
        }
        if let peerAddress, address != peerAddress {
            return LoopError.misuse("send", on: "\(address)", "the socket is connected to \(peerAddress), and sends to no other address")
        }
        return address.port == 0 ? LoopError(.invalidAddress, "send", on: "\(address)", "port 0 is no destination") : nil
    }

    // MARK: attempts

    private enum Attempt {
        case sent(Int)
        case noRoom
        case noMemory(LoopError)
    }

    private func attempt(_ bytes: [UInt8], _ address: SocketAddress?) throws -> Attempt {
        // The peer is the system's to know.
        let target = peerAddress == nil ? address : nil
        return try attempt(bytes.count, address) { transport throws(UVError) in
            try transport.send(bytes.span, to: target)
            return 1
        }
    }

    private func attempt(_ datagrams: ArraySlice<OutgoingDatagram>) throws -> Attempt {
        guard let first = datagrams.first else { return .sent(0) }
        var datagrams = datagrams
        if peerAddress != nil {
            for index in datagrams.indices where datagrams[index].address != nil { datagrams[index].address = nil }
        }
        return try attempt(first.bytes.count, first.address) { transport throws(UVError) in try transport.send(datagrams) }
    }

    private func attempt(_ size: Int, _ address: SocketAddress?, _ body: (any DatagramTransport) throws(UVError) -> Int) throws -> Attempt {
        let transport = try open("send")
        var failedBefore = false
        while true {
            do {
                let count = try body(transport)
                sendBudget.use(count)
                return .sent(count)
            } catch {
                if error.isTryAgain { return .noRoom }
                let failure = sendError(error, address ?? peerAddress, size)
                if error.isLackOfMemory { return .noMemory(failure) }
                guard keepsErrors && error.isReturned else { throw failure }
                // Any call says what came back about an earlier datagram. With a peer it was to the same address; without one it may be no business of this call,
                // which then succeeds when it is tried once more.
                let collected = collectReturnedErrors()
                if peerAddress != nil && !returnedErrors.isEmpty { throw undelivered(returnedErrors.removeFirst(), "send") }
                if collected == 0 {
                    if failedBefore { throw failure }
                    failedBefore = true
                }
            }
        }
    }

    private func waitToSend(_ task: AnyLoopTask, _ attempt: () throws -> Attempt) async throws -> Int {
        senders.append(task)
        defer {
            senders.remove(task)
            senders.first?.wake()
        }
        var failures = 0
        if !sendBudget.isLeft(in: loop.turn) {
            await task.parkForOneTurn()
            try task.throwIfInterrupted()
        }
        while true {
            var timer: LoopTimer?
            var waitsForRoom = false
            if senders.first === task {
                _ = sendBudget.isLeft(in: loop.turn)
                switch try attempt() {
                case .sent(let count): return count
                case .noRoom:
                    waitsForRoom = true
                    do {
                        try watch(.writable)
                    } catch {
                        throw UDPSocket.systemError(error, "send", on: "\(address)")
                    }
                case .noMemory(let error):
                    failures += 1
                    if failures == UDPSocket.maximumAttempts { throw error }
                    // It has room, so that nothing would ever say when it has memory.
                    timer = loop.startTimer(at: loop.now.advanced(by: UDPSocket.firstDelay * (1 << (failures - 1))), .wake(task))
                }
            }
            // A virtual clock waits for what the system does, and neither for a timer nor for those in line behind one.
            if waitsForRoom { loop.outstanding += 1 }
            await task.park(.leave)
            if waitsForRoom { loop.outstanding -= 1 }
            if let timer { loop.stopTimer(timer) }
            try task.throwIfInterrupted()
        }
    }
}
