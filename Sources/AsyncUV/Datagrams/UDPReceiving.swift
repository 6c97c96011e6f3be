internal import UVCore

// Receiving: a task that waits is only woken; it takes its datagram out of the kernel itself, after it has looked at its cancellation. So a cancelled one has
// taken nothing.

extension UDPSocket {
    /// Waits for a datagram, and takes it. One without bytes is a datagram too.
    ///
    /// - Cancellation: lossless: the datagram stays for the next one who receives.
    /// - Throws: `LoopError` `.closed` if the socket is closed, also while it waits; `.undelivered` if a datagram sent earlier could not be delivered, on a connected socket, or with
    ///   ``UDPOptions/reportsUndelivered``: the socket is as good as before, call again.
    public func receive() async throws -> Datagram {
        guard let task = loop.callingTask else {
            return try await bridged("UDPSocket.receive", on: loop) { try await self.receive() }
        }
        if receivers.isEmpty {
            try await waitForBudget(task)
            if let datagram = try takeOne() { return datagram }
        }
        return try await waitInLine(task) { try takeOne() }
    }

    /// Waits for a datagram, and takes all that are there, up to a limit, by one system call.
    ///
    /// - Parameter limit: at least 1; more than ``maximumBatch`` is taken as that.
    /// - Returns: at least one.
    /// - Cancellation: lossless, as ``receive()``.
    /// - Throws: as ``receive()``; `.misuse` for a limit below 1.
    public func receive(atMost limit: Int) async throws -> [Datagram] {
        guard let task = loop.callingTask else {
            return try await bridged("UDPSocket.receive", on: loop) { try await self.receive(atMost: limit) }
        }
        if limit < 1 { throw LoopError.misuse("receive(atMost: \(limit))", on: "\(address)", "at least one datagram must be asked for") }
        if receivers.isEmpty {
            try await waitForBudget(task)
            if let datagrams = try takeSeveral(limit) { return datagrams }
        }
        return try await waitInLine(task) { try takeSeveral(limit) }
    }

    /// Takes a datagram if one is there and nobody waits for it; nil otherwise. On the loop's thread.
    ///
    /// - Throws: as ``receive()``; `.misuse` on another thread.
    public func tryReceive() throws -> Datagram? {
        _ = try open("receive")
        return receivers.isEmpty ? try takeOne() : nil
    }

    /// The datagrams as they come, each for one iteration only; several tasks may iterate. Ends when the socket is closed.
    ///
    /// That a datagram could not be delivered ends the iteration with the error on a connected socket: iterate again to go on. On others it is passed over.
    public var datagrams: Datagrams { Datagrams(socket: self) }

    public struct Datagrams: AsyncSequence, AsyncIteratorProtocol, Sendable {
        let socket: UDPSocket

        public func makeAsyncIterator() -> Datagrams { self }

        /// As `UDPSocket.receive`; nil when the socket is closed.
        public func next() async throws -> Datagram? {
            while true {
                do {
                    return try await socket.receive()
                } catch let error as LoopError where error.code == .closed {
                    return nil
                } catch let error as LoopError where error.code == .undelivered && socket.peerAddress == nil {
                    continue
                }
            }
        }
    }

    /// How many datagrams have come and were dropped by the kernel, because its queue was full (or their checksum was wrong). On the loop's thread.
    ///
    /// Look at least once in 2³² drops. After the close it is what it was then.
    /// - Throws: `LoopError` `.misuse` on another thread; `.system` where the system does not count (Linux before 4.12).
    public func droppedCount() throws -> UInt64 {
        try loop.requireOwner("UDPSocket.droppedCount")
        if !transport.isClosed {
            do {
                countDropped(try transport.dropped())
            } catch {
                throw UDPSocket.systemError(error, "droppedCount", on: "\(address)")
            }
        }
        return dropped
    }

    private func countDropped(_ count: UInt32) { dropped += UInt64(count &- UInt32(truncatingIfNeeded: dropped)) }

    func rememberDropped() {
        do {
            countDropped(try transport.dropped())
        } catch {
            // Then it stays what it was last; who asks is told.
        }
    }

    // MARK: waiting

    private func waitForBudget(_ task: AnyLoopTask) async throws {
        if receiveBudget.isLeft(in: loop.turn) { return }
        await task.parkForOneTurn()
        try task.throwIfInterrupted()
        _ = receiveBudget.isLeft(in: loop.turn)
    }

    private func waitInLine<Taken>(_ task: AnyLoopTask, _ take: () throws -> Taken?) async throws -> Taken {
        receivers.append(task)
        defer {
            receivers.remove(task)
            // There may be another datagram; and a wake-up that came to a cancelled task is passed on.
            receivers.first?.wake()
        }
        while true {
            do {
                if !transport.isClosed { try watch(.readable) }
            } catch {
                throw UDPSocket.systemError(error, "receive", on: "\(address)")
            }
            loop.outstanding += 1
            await task.park(.leave)
            loop.outstanding -= 1
            try task.throwIfInterrupted()
            if let taken = try take() { return taken }
        }
    }

    // MARK: taking

    private func takeOne() throws -> Datagram? {
        var taken: Datagram?
        try take(atMost: 1) { taken = $0 }
        return taken
    }

    private func takeSeveral(_ limit: Int) throws -> [Datagram]? {
        var taken: [Datagram] = []
        try take(atMost: limit) { taken.append($0) }
        return taken.isEmpty ? nil : taken
    }

    private func take(atMost limit: Int, _ body: (Datagram) -> Void) throws {
        let transport = try open("receive")
        // More often only if errors come back faster than they can be looked at: then they wait for the next poll.
        for _ in 0..<UDPSocket.maximumDatagramsPerTurn {
            if !returnedErrors.isEmpty { throw undelivered(returnedErrors.removeFirst(), "receive") }
            do {
                receiveBudget.use(try transport.receive(atMost: limit, keeping: maximumDatagramSize, body))
                return
            } catch {
                if error.isTryAgain { return }
                guard error.isReturned else { throw UDPSocket.systemError(error, "receive", on: "\(address)") }
                // The error is known with all that belongs to it, or somebody has been told of it already.
                _ = collectReturnedErrors()
                if !keepsErrors { throw undelivered(ReturnedError(error: error, destination: peerAddress?.name), "receive") }
            }
        }
    }

    /// Takes over what came back and the kernel keeps: how much it was.
    func collectReturnedErrors() -> Int {
        var count = 0
        guard keepsErrors, !transport.isClosed else { return 0 }
        do {
            while count < UDPSocket.maximumReturnedErrors * 16, let returned = try transport.takeReturnedError() {
                if returned.isLocal { continue }
                count += 1
                // The latest ones are of more use than those that nobody has asked for in a long time.
                if returnedErrors.count == UDPSocket.maximumReturnedErrors { returnedErrors.removeFirst() }
                returnedErrors.append(returned)
            }
        } catch {
            // What the socket itself has, the next call on it will say.
        }
        return count
    }

    /// So many reports about datagrams that could not be delivered are kept until somebody receives; then the oldest ones are forgotten.
    public static let maximumReturnedErrors = 64
}
