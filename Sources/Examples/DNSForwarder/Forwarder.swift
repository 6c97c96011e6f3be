import AsyncUV
import DNSMessages

/// Answers queries: from the cache, or by asking others.
final class Forwarder: Sendable {
    let limit: Int
    private let upstreams: [SocketAddress]
    private let timeout: Duration
    /// What all queries share. Each is a task of its own, and they are all on one loop: nobody ever waits to get at it.
    let state: LoopBound<ForwarderState>

    /// - Parameters:
    ///   - capacity: so many answers are remembered.
    ///   - timeout: so long each of those that are asked has for its answer.
    ///   - limit: so many queries may wait for answers.
    init(_ upstreams: [SocketAddress], capacity: Int, timeout: Duration, limit: Int) throws {
        self.upstreams = upstreams
        self.timeout = timeout
        self.limit = limit
        state = try LoopBound(ForwarderState(upstreams.count, capacity: capacity, limit: limit))
    }

    /// The answer to what a client has sent; nil if it deserves none.
    ///
    /// - Parameter size: how many bytes the answer may have; nil: as many as the query says.
    func answer(to bytes: [UInt8], size: Int? = nil) async throws -> [UInt8]? {
        try state.withValue { $0.counters.queries += 1 }
        // Answers are not answered: two servers could do that for ever.
        guard let header = DNSHeader(of: bytes), !header.flags.contains(.response) else {
            try state.withValue { $0.counters.malformed += 1 }
            return nil
        }
        let message: DNSMessage, query: DNSQuery
        do {
            message = try DNSMessage(bytes)
        } catch {
            try state.withValue { $0.counters.malformed += 1 }
            return DNSMessage.refusal(header, .formatError)
        }
        do {
            query = try DNSQuery(message)
        } catch {
            try state.withValue { $0.counters.malformed += 1 }
            return message.refusal(error.code)
        }
        guard let answer = try await resolve(query) else {
            try state.withValue { $0.counters.failures += 1 }
            return message.refusal(.serverFailure)
        }
        return answer.answering(message, limit: size ?? message.answerLimit)
    }

    /// The answer to a query, from wherever it can be had; nil if it cannot.
    private func resolve(_ query: DNSQuery) async throws -> DNSMessage? {
        let loop = state.loop
        switch try state.withValue({ $0.step(for: query, at: loop.now) }) {
        case .answer(let answer): return answer
        case .refuse: return nil
        case .wait(let lookup): return try await LoopTask.shield(lookup)
        case .ask:
            let lookup = LoopTask(name: "lookup of \(query)") { [self] in
                var answer: DNSMessage?
                defer { try? state.withValue { $0.lookupEnded(query, answer, at: loop.now) } }
                answer = try await askUpstreams(query)
                return answer
            }
            try state.withValue { $0.lookupBegan(query, lookup) }
            // Others may come to wait for it, too: if this client goes away, the lookup stays.
            return try await LoopTask.shield(lookup)
        }
    }

    /// Asks one after the other, and all of them once more if none has answered: a datagram gets lost now and then.
    private func askUpstreams(_ query: DNSQuery) async throws -> DNSMessage? {
        var unwilling: DNSMessage?
        let order = try state.withValue { $0.upstreams.order }
        for (attempt, index) in (order + order).enumerated() {
            if unwilling != nil && attempt >= order.count { break }
            do {
                let answer = try await withTimeout(timeout) { try await exchange(query, with: upstreams[index]) }
                if try state.withValue({ $0.upstreams.answered(index) }) { complain("\(upstreams[index]) answers again") }
                // It cannot, or does not want to: perhaps another one does.
                if answer.header.code != .serverFailure && answer.header.code != .refused { return answer }
                unwilling = answer
            } catch let error as CancelledError {
                throw error
            } catch {
                let isNew = try state.withValue {
                    $0.counters.failedAttempts += 1
                    return $0.upstreams.failed(index)
                }
                // Once, and not for each of the queries that fail until it answers again.
                if isNew { complain("\(upstreams[index]) does not answer: \(error is TimeoutError ? "timed out" : "\(error)")") }
            }
        }
        return unwilling
    }

    func counters(_ socket: UDPSocket) throws -> Counters {
        var counters = try state.withValue { $0.counters }
        counters.dropped = try socket.droppedCount()
        return counters
    }
}
