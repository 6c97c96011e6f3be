// How long an answer is good, and how it ages.

extension DNSMessage {
    /// Nothing is kept for longer than a day, whatever it says of itself, …
    public static let maximumLifetime: UInt32 = 86_400
    /// …and that there is no such name, or no such record of it, not for longer than three hours (RFC 2308, 5).
    public static let maximumNegativeLifetime: UInt32 = 10_800

    /// For how many seconds this answer may be given again; 0 if not at all.
    ///
    /// As long as the first of its records is good. An answer that there is nothing is good as long as the SOA record beside it, and no longer than that says; without one, not at all.
    public var lifetime: UInt32 {
        guard !header.flags.contains(.truncated), header.code == .noError || header.code == .nameError, extensions?.codeHigh ?? 0 == 0 else { return 0 }
        var result = DNSMessage.maximumLifetime
        for record in records where record.type != .opt { result = min(result, lifetime(of: record)) }
        let isNegative = header.code == .nameError || !records.contains { $0.section == .answer }
        if isNegative { result = min(result, DNSMessage.maximumNegativeLifetime, negativeLifetime ?? 0) }
        return result
    }

    private func lifetime(of record: DNSRecord) -> UInt32 {
        let ttl = ttl(of: record)
        // The upper half are negative numbers, which mean none (RFC 2181, 8).
        return ttl > UInt32(Int32.max) ? 0 : ttl
    }

    /// What the SOA record among the authorities says, in its last number.
    private var negativeLifetime: UInt32? {
        guard let soa = records.first(where: { $0.section == .authority && $0.type == .soa }), soa.data.count >= 22 else { return nil }
        return bytes.number32(at: soa.data.upperBound - 4)
    }

    /// This answer, `seconds` later: its records are good for as much less. If `limit` is given, for no longer than that before.
    public func aged(by seconds: UInt32, limit: UInt32 = .max) -> DNSMessage {
        var result = self
        for record in records where record.type != .opt {
            let ttl = min(lifetime(of: record), limit)
            result.setTTL(ttl - min(seconds, ttl), of: record)
        }
        return result
    }
}
