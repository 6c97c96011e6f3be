/// Answers, by what was asked, for as long as they are good: a bounded number of them, in a bounded amount of memory. When there is no room, those go first that nobody has asked for
/// in the longest time.
public struct AnswerCache: Sendable {
    /// Room for so many bytes an answer, taken together: most are much smaller, and one may be larger.
    public static let bytesPerEntry = 2048

    public let capacity: Int
    /// Of all messages in it.
    public private(set) var byteCount = 0
    public var count: Int { entries.count }

    private struct Entry {
        var answer: DNSMessage
        var stored: Duration
        var lifetime: UInt32
        /// Its neighbours in the order of use.
        var newer: DNSQuery?
        var older: DNSQuery?
    }

    private var entries: [DNSQuery: Entry] = [:]
    private var newest: DNSQuery?
    private var oldest: DNSQuery?

    /// - Parameter capacity: how many answers; 0 keeps none.
    public init(capacity: Int) { self.capacity = max(capacity, 0) }

    /// The answer, as old as it is now.
    ///
    /// - Parameter now: the time since whatever was the beginning.
    public mutating func answer(to query: DNSQuery, at now: Duration) -> DNSMessage? {
        guard let entry = entries[query] else { return nil }
        let age = max(now - entry.stored, .zero).components.seconds
        guard age < Int64(entry.lifetime) else {
            remove(query)
            return nil
        }
        unlink(query)
        link(query)
        return entry.answer.aged(by: UInt32(age))
    }

    /// Keeps an answer, if it may be given again.
    public mutating func store(_ answer: DNSMessage, to query: DNSQuery, at now: Duration) {
        remove(query)
        let lifetime = answer.lifetime
        if lifetime == 0 || answer.bytes.count > capacity * AnswerCache.bytesPerEntry { return }
        // What outlives the rest would tell clients that they may keep it for longer than this does: an SOA record beside an answer that there is nothing.
        let isNegative = !answer.records.contains { $0.section == .answer } || answer.header.code == .nameError
        entries[query] = Entry(answer: isNegative ? answer.aged(by: 0, limit: lifetime) : answer, stored: now, lifetime: lifetime)
        byteCount += answer.bytes.count
        link(query)
        while entries.count > capacity || byteCount > capacity * AnswerCache.bytesPerEntry, let oldest { remove(oldest) }
    }

    private mutating func remove(_ query: DNSQuery) {
        guard let entry = entries[query] else { return }
        unlink(query)
        entries[query] = nil
        byteCount -= entry.answer.bytes.count
    }

    // MARK: the order of use

    private mutating func link(_ query: DNSQuery) {
        entries[query]?.older = newest
        entries[query]?.newer = nil
        if let newest { entries[newest]?.newer = query } else { oldest = query }
        newest = query
    }

    private mutating func unlink(_ query: DNSQuery) {
        guard let entry = entries[query] else { return }
        if let newer = entry.newer { entries[newer]?.older = entry.older } else { newest = entry.older }
        if let older = entry.older { entries[older]?.newer = entry.newer } else { oldest = entry.newer }
    }
}
