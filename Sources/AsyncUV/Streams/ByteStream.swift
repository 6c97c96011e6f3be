/// A connection that carries bytes both ways, in order: what a protocol's code needs to know of it.
///
/// Bound to its loop; one task may read and others write at the same time. Operations that wait may be called from anywhere, the others on the
/// loop's thread.
///
/// **Ending.** Whoever has a stream closes it: `close()` sends what was written before it, `abort()` does not. One that is let go of unclosed is closed without
/// sending, and reported.
public protocol ByteStream: AnyObject, Sendable, CustomStringConvertible {
    /// The loop that it belongs to.
    var loop: EventLoop { get }

    /// Waits until there are bytes, and takes up to so many: as many as there are. Nil at the end of the stream.
    ///
    /// - Cancellation: lossless: what has arrived stays for the next read.
    /// - Throws: `LoopError` `.busy` if another task reads, `.closed` if this side closes the stream, also while it waits, `.connectionLost` if the peer is
    ///   gone and what came before that has been read.
    func read(atMost limit: Int) async throws -> [UInt8]?

    /// Waits until there are so many bytes, and takes them. Memory is used as they arrive, not before.
    ///
    /// - Cancellation: lossless: what has arrived stays for the next read.
    /// - Throws: as ``read(atMost:)``; `.unexpectedEnd` if the stream ends before: what has come stays for the next read.
    func read(exactly count: Int) async throws -> [UInt8]

    /// Waits until there are `minimum` bytes, and lets `body` look at all there are, without a copy; what it returns is how many of them it has used. The others
    /// stay, for a read that asks for more.
    ///
    /// At the end of the stream `body` gets what is left, even if that is less than `minimum`; when nothing is left it is not called any more.
    /// `body` may close or abort the stream; a task that it starts and that reads finds the stream busy.
    /// - Parameter minimum: at least 1. The buffer grows to it as bytes arrive, so it bounds the memory. If `body` has used nothing, ask for more than it saw:
    ///   otherwise the next call returns at once with the same. If the connection was lost with fewer bytes, that is thrown; they stay for a
    ///   read that asks for less.
    /// - Returns: what `body` returned; nil at the end of the stream.
    /// - Cancellation: lossless.
    /// - Throws: as ``read(atMost:)``; what `body` throws, then it has used nothing; `.misuse` outside of a LoopTask of the stream's loop.
    func withBytes(atLeast minimum: Int, _ body: (Span<UInt8>) throws -> Int) async throws -> Int?

    /// Sends bytes: returns when they are with the system, or admitted to the stream's buffer, which holds up to the high-water mark.
    ///
    /// Several tasks may write: each one's bytes stay together, in the order of the calls.
    /// - Cancellation: up to as many bytes as the high-water mark: lossless, a write that throws has sent nothing. More: *partial*: some of the bytes may
    ///   have been sent, and the next writer's would follow them: close the stream.
    /// - Throws: `LoopError` `.closed` if this side has closed the stream, or its writing, also while it waits; `.connectionLost`.
    func write(_ bytes: [UInt8]) async throws

    /// Sends several pieces as one: their bytes stay together, and go to the system in one call where they fit. See ``write(_:)-([UInt8])``.
    func write(parts: [[UInt8]]) async throws

    /// Sends bytes if that needs no waiting: all of them, or none. For whoever would rather drop a slow peer than wait for it. On the loop's thread.
    ///
    /// - Returns: false if they do not fit under the high-water mark now.
    /// - Throws: as ``write(_:)-([UInt8])``; `.misuse` on another thread.
    func tryWrite(_ bytes: Span<UInt8>) throws -> Bool

    /// Waits until what was admitted before is with the system. That the peer has it is more than any system knows.
    ///
    /// - Cancellation: loses nothing; the bytes are sent all the same.
    /// - Throws: as ``write(_:)``.
    func flush() async throws

    /// Ends the writing side, after what was written: the peer reads it, and then the end of the stream. Reading goes on. Idempotent; does not wait.
    ///
    /// - Throws: `LoopError` `.closed`, `.connectionLost`; `.misuse` on another thread than the loop's.
    func closeWrite() throws

    /// Sends what was admitted, and closes. Reads and writes that wait end with `.closed`. Idempotent.
    ///
    /// Takes as long as the peer takes to accept what was written: limit it, if you do not trust the peer.
    /// - Cancellation: closes at once, *without* sending the rest.
    /// - Throws: `LoopError` `.connectionLost` if bytes were admitted that could not be sent, and nobody has been told yet.
    func close() async throws

    /// Breaks the connection off, in both directions and at once: the peer gets an error, where the kind of stream can give it one. Idempotent.
    ///
    /// On the loop's thread; from another it is posted.
    func abort()

    /// Waits until the stream is closed by this side.
    ///
    /// - Cancellation: loses nothing.
    func waitClosed() async throws
}

extension ByteStream {
    /// Waits until there are bytes, and takes what there is. See ``read(atMost:)``.
    public func read() async throws -> [UInt8]? {
        try await read(atMost: 65_536)
    }

    /// See ``withBytes(atLeast:_:)``.
    public func withBytes(_ body: (Span<UInt8>) throws -> Int) async throws -> Int? {
        try await withBytes(atLeast: 1, body)
    }

    /// Sends the bytes of any collection, such as `"text".utf8`. See ``write(_:)-([UInt8])``.
    public func write(_ bytes: some Collection<UInt8>) async throws {
        try await write(Array(bytes))
    }
}
