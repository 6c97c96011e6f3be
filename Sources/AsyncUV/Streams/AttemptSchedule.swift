/// Which of a host's addresses is tried when: Happy Eyeballs (RFC 8305), without a loop and without sockets.
struct AttemptSchedule {
    private var waiting: ArraySlice<SocketAddress>
    private let delay: Duration
    /// When the next one begins, though those before it are still under way.
    private var nextBegin: LoopInstant

    /// - Parameter addresses: in the resolver's order.
    init(_ addresses: [SocketAddress], delay: Duration, now: LoopInstant) {
        waiting = AttemptSchedule.interleaved(addresses)[...]
        self.delay = max(delay, .zero)
        nextBegin = now
    }

    /// Takes the address whose attempt begins now, if there is one.
    mutating func takeNext(now: LoopInstant) -> SocketAddress? {
        guard now >= nextBegin, let address = waiting.popFirst() else { return nil }
        nextBegin = now.advanced(by: delay)
        return address
    }

    /// The next one need not wait any longer.
    mutating func attemptFailed(now: LoopInstant) { nextBegin = min(nextBegin, now) }

    /// When to ask again; nil when all have begun.
    var wakeTime: LoopInstant? { waiting.isEmpty ? nil : nextBegin }

    /// The families by turns, so that one that leads nowhere costs one delay; within a family the order stays, and the first stays first (RFC 8305, 4).
    static func interleaved(_ addresses: [SocketAddress]) -> [SocketAddress] {
        guard let first = addresses.first else { return [] }
        // An IPv4 address that is written in IPv6 goes the way of IPv4.
        let isIPv6 = first.unmapped.isIPv6
        let preferred = addresses.filter { $0.unmapped.isIPv6 == isIPv6 }
        let others = addresses.filter { $0.unmapped.isIPv6 != isIPv6 }
        let pairs = zip(preferred, others).flatMap { [$0, $1] }
        return pairs + preferred.dropFirst(others.count) + others.dropFirst(preferred.count)
    }
}
