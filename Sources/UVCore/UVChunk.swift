/// A piece of memory with bytes in the middle: written at the end, read from the start. What a stream reads into, and what it queues to write.
///
/// Its address stays the same until `grow` or `compact`, which must not be called while libuv has it.
@safe public final class UVChunk {
    // SAFETY: allocated in init and in `grow`, freed in `grow` and deinit; a pointer leaves this class only for a synchronous call, or with this
    // object itself held for as long as libuv has it (see `UVStream`).
    private(set) var base: UnsafeMutableRawPointer
    private var size: Int
    public var capacity: Int { size }
    private(set) var start = 0
    private(set) var end = 0

    /// What a pooled chunk holds.
    public static let standardCapacity = 65_536

    init(capacity: Int) {
        size = capacity
        unsafe base = UVChunk.allocate(capacity)
    }

    deinit { unsafe base.deallocate() }

    private static func allocate(_ capacity: Int) -> UnsafeMutableRawPointer {
        // A little more than asked for, so that the chunks of a pool do not all fall on the same lines of the processor's caches.
        UnsafeMutableRawPointer.allocate(byteCount: capacity + 1088, alignment: 16)
    }

    public var count: Int { end - start }
    public var isEmpty: Bool { end == start }
    /// Room behind the bytes.
    public var room: Int { capacity - end }

    var bytes: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: base + start, count: end - start) }
    var free: UnsafeMutableRawBufferPointer { unsafe UnsafeMutableRawBufferPointer(start: base + end, count: capacity - end) }

    /// The bytes, for the time of the call.
    public func withBytes<Result, Failure: Error>(_ body: (Span<UInt8>) throws(Failure) -> Result) throws(Failure) -> Result {
        let typed = unsafe bytes.assumingMemoryBound(to: UInt8.self)
        return try unsafe body(typed.span)
    }

    /// Bytes were written into `free`.
    func advance(by count: Int) { end += count }

    public func consume(_ count: Int) {
        precondition(count >= 0 && count <= self.count, "AsyncUV: more bytes consumed than there were")
        start += count
        if start == end {
            start = 0
            end = 0
        }
    }

    /// Takes bytes from the start, as an array of their own.
    public func take(_ count: Int) -> [UInt8] {
        let count = max(0, min(count, self.count))
        // From the bytes and not by the initializer that lets its caller fill them, which looks the array's type up at every call, and writes the count of an empty array
        // into the one object that stands for all of these.
        let array = unsafe [UInt8](UnsafeBufferPointer(rebasing: bytes.assumingMemoryBound(to: UInt8.self)[..<count]))
        consume(count)
        return array
    }

    /// Appends bytes; the chunk grows if it must.
    public func append(_ span: Span<UInt8>) {
        if span.count > room { makeRoom(for: span.count) }
        unsafe span.withUnsafeBytes { source in
            if source.count > 0 { unsafe free.copyMemory(from: source) }
        }
        end += span.count
    }

    /// Moves the bytes to the front, or to more memory, so that there is room for so many more.
    public func makeRoom(for more: Int) {
        if room >= more { return }
        if capacity - count >= more && start >= capacity / 2 {
            unsafe base.copyMemory(from: base + start, byteCount: count)
        } else {
            let larger = max(capacity * 2, count + more)
            let moved = unsafe UVChunk.allocate(larger)
            unsafe moved.copyMemory(from: base + start, byteCount: count)
            unsafe base.deallocate()
            unsafe base = moved
            size = larger
        }
        end -= start
        start = 0
    }

    /// Moves the bytes to the front, so that all the room there is lies behind them.
    public func compact() {
        if start == 0 { return }
        unsafe base.copyMemory(from: base + start, byteCount: count)
        end -= start
        start = 0
    }

    /// The next idle chunk of a pool.
    fileprivate var next: UVChunk?

    fileprivate func reset() {
        start = 0
        end = 0
    }
}

/// Chunks that nobody uses at the moment, for the next ones who need one: memory goes with the streams that have bytes, not with all there are.
public final class UVChunkPool {
    public let limit: Int
    private var first: UVChunk?
    private var idle = 0
    private var out = 0

    /// - Parameter limit: so many idle chunks are kept, the rest is freed.
    public init(limit: Int) { self.limit = limit }

    // One by one: a chain of many objects must not be let go of recursively.
    deinit { while idle > 0 { first = first?.next.take(); idle -= 1 } }

    /// Chunks that are out.
    public var taken: Int { out }

    public func take() -> UVChunk {
        out += 1
        // The last one that came back is the one whose memory the processor still has at hand.
        guard let chunk = first else { return UVChunk(capacity: UVChunk.standardCapacity) }
        first = chunk.next
        chunk.next = nil
        idle -= 1
        return chunk
    }

    public func give(_ chunk: UVChunk) {
        out -= 1
        if idle >= limit || chunk.capacity != UVChunk.standardCapacity { return }
        chunk.reset()
        chunk.next = first
        first = chunk
        idle += 1
    }
}

@available(*, unavailable)
extension UVChunk: Sendable {}
@available(*, unavailable)
extension UVChunkPool: Sendable {}
