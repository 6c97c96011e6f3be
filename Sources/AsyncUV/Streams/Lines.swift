extension ByteStream {
    /// The lines that come, until the stream ends: ``readLine(limit:)``, again and again.
    ///
    /// `for try await line in stream.lines() { … }`. Leaving the loop loses nothing: what comes after the last line stays for the next read.
    public func lines(limit: Int = EventLoop.defaultLineLimit) -> LineSequence<Self> { LineSequence(stream: self, limit: limit) }
}

/// See ``ByteStream/lines(limit:)``.
public struct LineSequence<Stream: ByteStream>: AsyncSequence, Sendable {
    let stream: Stream
    let limit: Int

    public struct AsyncIterator: AsyncIteratorProtocol {
        let stream: Stream
        let limit: Int

        public mutating func next() async throws -> String? { try await stream.readLine(limit: limit) }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(stream: stream, limit: limit) }
}
