/// A place where connections arrive, of one kind: what a ``StreamServer`` takes them from.
///
/// Bound to its loop.
public protocol StreamListener<Stream>: AnyObject, Sendable, CustomStringConvertible {
    /// What a connection is.
    associatedtype Stream: ByteStream

    /// The loop that it belongs to, and its connections.
    var loop: EventLoop { get }

    /// Waits for the next connection and takes it. Several tasks may wait.
    ///
    /// - Parameters:
    ///   - file: with `line`, where the stream is said to have been created, in reports.
    /// - Cancellation: lossless: the connection stays for the next one who accepts.
    /// - Throws: `LoopError` `.closed` once the listener is closed, also while it waits.
    func accept(file: String, line: Int) async throws -> Stream

    /// Stops listening, at once. Tasks that wait in `accept` end with `.closed`; connections that nobody has taken are broken off. Idempotent.
    ///
    /// On the loop's thread; from another it is posted.
    func close()

    /// On the loop's thread.
    var isClosed: Bool { get }

    /// How often connections could not be taken because of a lack of descriptors or memory. On the loop's thread.
    var acceptFailures: Int { get }
}

extension StreamListener {
    /// Waits for the next connection and takes it.
    ///
    /// - Cancellation, Throws: as ``accept(file:line:)``.
    public func accept() async throws -> Stream { try await accept(file: #fileID, line: #line) }

    /// The connections, one after the other as they are asked for, until the listener is closed: `for try await stream in listener.connections { … }`.
    public var connections: Connections<Self> { Connections(listener: self) }
}

/// See ``StreamListener/connections``. Several tasks may iterate at the same time: each connection comes to one of them.
public struct Connections<Listener: StreamListener>: AsyncSequence, Sendable {
    let listener: Listener

    public func makeAsyncIterator() -> Iterator { Iterator(listener: listener) }

    public struct Iterator: AsyncIteratorProtocol {
        let listener: Listener

        /// Waits for the next connection and takes it; nil once the listener is closed.
        ///
        /// - Cancellation: lossless: the connection stays for the next one who asks.
        /// - Throws: as ``StreamListener/accept(file:line:)``, but for `.closed`.
        public mutating func next() async throws -> Listener.Stream? {
            do {
                return try await listener.accept()
            } catch let error as LoopError where error.code == .closed {
                return nil
            }
        }
    }
}
