import AsyncUV
import DNSMessages

/// What all queries share. Nothing here waits.
struct ForwarderState {
    var counters = Counters()
    var upstreams: Upstreams
    /// How many of the queries that came as datagrams are in work.
    private var inWork = 0
    private var cache: AnswerCache
    /// What is being asked of others now: who wants the same waits for the same.
    private var lookups: [DNSQuery: LoopTask<DNSMessage?>] = [:]
    private let limit: Int

    init(_ upstreamCount: Int, capacity: Int, limit: Int) {
        upstreams = Upstreams(upstreamCount)
        cache = AnswerCache(capacity: capacity)
        self.limit = limit
    }

    /// What is to be done about a query.
    enum Step {
        case answer(DNSMessage)
        case wait(LoopTask<DNSMessage?>)
        case ask
        case refuse
    }

    mutating func step(for query: DNSQuery, at now: LoopInstant) -> Step {
        if let answer = cache.answer(to: query, at: .nanoseconds(now.nanoseconds)) {
            counters.hits += 1
            return .answer(answer)
        }
        if let lookup = lookups[query] {
            counters.merged += 1
            return .wait(lookup)
        }
        // As many are in work as may be, and clients that went away have left theirs behind.
        if lookups.count >= limit { return .refuse }
        counters.lookups += 1
        return .ask
    }

    mutating func lookupBegan(_ query: DNSQuery, _ lookup: LoopTask<DNSMessage?>) { lookups[query] = lookup }

    mutating func lookupEnded(_ query: DNSQuery, _ answer: DNSMessage?, at now: LoopInstant) {
        lookups[query] = nil
        if let answer { cache.store(answer, to: query, at: .nanoseconds(now.nanoseconds)) }
    }

    /// False: there are too many.
    mutating func queryBegan() -> Bool {
        if inWork == limit {
            counters.queries += 1
            counters.refused += 1
            return false
        }
        inWork += 1
        return true
    }

    mutating func queryEnded() { inWork -= 1 }
}

/// Whom to ask first: the one that has answered last, so that one that is gone costs its timeout once, and not with every query.
struct Upstreams {
    private var isFailing: [Bool]
    private var first = 0

    init(_ count: Int) { isFailing = [Bool](repeating: false, count: count) }

    var order: [Int] { isFailing.indices.map { ($0 + first) % isFailing.count } }

    /// True: it had not, before.
    mutating func answered(_ index: Int) -> Bool {
        first = index
        defer { isFailing[index] = false }
        return isFailing[index]
    }

    /// True: it had answered, before.
    mutating func failed(_ index: Int) -> Bool {
        defer { isFailing[index] = true }
        return !isFailing[index]
    }
}

/// What the forwarder has done.
struct Counters: Sendable, CustomStringConvertible {
    /// Whatever clients have sent.
    var queries = 0
    /// Answered from the cache.
    var hits = 0
    /// Waited for an answer that was on its way already.
    var merged = 0
    /// Asked of others.
    var lookups = 0
    /// Came out without an answer: SERVFAIL.
    var failures = 0
    /// No query: FORMERR, or nothing.
    var malformed = 0
    /// Came when too many waited: SERVFAIL, at once.
    var refused = 0
    /// Times that one of those asked has not answered.
    var failedAttempts = 0
    /// Answers that could not be sent.
    var unsent = 0
    /// Datagrams that came faster than they were taken.
    var dropped: UInt64 = 0

    var description: String {
        """
        queries \(queries): cached \(hits), merged \(merged), looked up \(lookups), failed \(failures), malformed \(malformed), refused \(refused); \
        failed attempts \(failedAttempts), answers not sent \(unsent), dropped by the system \(dropped)
        """
    }
}
