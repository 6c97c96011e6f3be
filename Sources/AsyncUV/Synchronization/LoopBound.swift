/// A value that the tasks of one loop share, without a lock: they never run at the same time, and `withValue` does not suspend.
///
/// Any value, `Sendable` or not. The box itself may be passed around freely; what is in it is used, and let go of, on the loop's thread.
///
/// ```swift
/// let members = try LoopBound<[String]>([])
/// try members.withValue { $0.append("anna") }
/// ```
public final class LoopBound<Value>: @unchecked Sendable {
    // Sendable: the content is touched on the loop's thread only; a call from elsewhere is refused.

    public let loop: EventLoop
    private let content: Content
    private var isInUse = false

    private final class Content: @unchecked Sendable {
        // Sendable only so that it can be handed back to its loop.
        var value: Value
        init(_ value: sending Value) { self.value = value }
    }

    /// - Parameter loop: the caller's, unless another one is named.
    /// - Throws: `LoopError` `.misuse` where there is no event loop.
    public init(_ value: sending Value, on loop: EventLoop? = nil) throws {
        self.loop = try loop ?? EventLoop.requireCurrent("LoopBound")
        content = Content(value)
    }

    deinit {
        if loop.isOwner { return }
        // A closed loop refuses: then nobody uses the value any more, on any thread.
        _ = loop.inbox.post(.call { [content] in withExtendedLifetime(content) {} })
    }

    /// Looks at the value, or changes it. On the loop's thread. `body` cannot wait, so that nobody sees the value in between.
    ///
    /// - Throws: what `body` throws; `LoopError` `.misuse` on another thread, and inside `body` itself.
    public func withValue<Result>(_ body: (inout Value) throws -> Result) throws -> Result {
        try loop.requireOwner("LoopBound.withValue")
        if isInUse { throw LoopError.misuse("LoopBound.withValue", "called inside a withValue of the same box") }
        isInUse = true
        defer { isInUse = false }
        return try body(&content.value)
    }
}
