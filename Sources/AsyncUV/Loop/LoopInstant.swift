/// A point on a loop's clock: nanoseconds since that clock's origin. Only instants of the same loop compare meaningfully.
///
/// Arithmetic saturates: the largest instant is 292 years after the origin, and adding to it stays there.
public struct LoopInstant: InstantProtocol, Hashable, Sendable, CustomStringConvertible {
    /// Since the clock's origin; negative before it.
    public let nanoseconds: Int64

    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// The largest there is: never, for all purposes.
    public static let distantFuture = LoopInstant(nanoseconds: .max)

    /// `duration` later, rounded up to whole nanoseconds; saturates.
    public func advanced(by duration: Duration) -> LoopInstant {
        let (sum, overflow) = nanoseconds.addingReportingOverflow(duration.saturatedNanoseconds)
        if overflow { return LoopInstant(nanoseconds: duration < .zero ? .min : .max) }
        return LoopInstant(nanoseconds: sum)
    }

    /// From this instant to `other`; negative if that is before it. Exact.
    public func duration(to other: LoopInstant) -> Duration {
        .nanoseconds(other.nanoseconds) - .nanoseconds(nanoseconds)
    }

    public static func < (left: LoopInstant, right: LoopInstant) -> Bool { left.nanoseconds < right.nanoseconds }

    public var description: String { "\(Duration.nanoseconds(nanoseconds)) on the loop's clock" }
}

extension Duration {
    /// Whole nanoseconds, rounded up, clamped to what fits: `.max` durations never wrap.
    var saturatedNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let fraction = attoseconds / 1_000_000_000 + (attoseconds % 1_000_000_000 > 0 ? 1 : 0)
        let (sum, again) = scaled.addingReportingOverflow(fraction)
        if again { return seconds < 0 ? .min : .max }
        return sum
    }
}
