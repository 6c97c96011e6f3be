internal import CLibUV
internal import Glibc

/// Who is told what happens on a stream. Held by the stream until it closes.
public protocol UVStreamOwner: AnyObject {
    /// More bytes are in `input`.
    func streamDidRead()
    /// The reading side has ended: nil at its regular end. No more bytes will come.
    func streamReadingEnded(_ error: UVError?)
    /// The chunk given to `write` is with the system, or lost.
    func streamDidWrite(_ chunk: UVChunk, _ error: UVError?)
    /// The handle closes, whoever asked for it.
    func streamWillClose()
}

/// A `uv_stream_t` over a connected socket: reading while there is room, trying to write, and one queued write at a time.
///
/// The chunk that is read into is taken from the pool when bytes are there, and stays in `input` until it was emptied.
@safe public final class UVStream: UVHandle {
    private var owner: (any UVStreamOwner)?
    private let pool: UVChunkPool
    /// Bytes that have come and that nobody has taken.
    public var input: UVChunk? { chunk }
    private var chunk: UVChunk?
    /// Somebody looks at the input: closing must not give its memory to others.
    private var isLent = false
    /// libuv calls back for what arrives.
    public var isReading: Bool { reading }
    private var reading = false
    /// There was no room at the last event; at the next one, reading stops.
    private var wasFull = false
    /// The chunk that libuv writes from.
    private var writing: UVChunk?
    // SAFETY: allocated by the first `write`, freed in deinit, which cannot come before the close callback; libuv uses it from uv_write to
    // the write callback, and that comes before the close callback at the latest.
    private var request: UnsafeMutablePointer<uv_write_t>?

    /// Takes over a connected, non-blocking TCP socket; on an error it is closed.
    public init(tcp descriptor: consuming Descriptor, loop: UVLoop, pool: UVChunkPool, owner: any UVStreamOwner) throws(UVError) {
        self.pool = pool
        self.owner = owner
        unsafe request = nil
        try unsafe super.init(loop: loop, type: UV_TCP, call: "uv_tcp_init") { raw in
            unsafe uv_tcp_init(loop.pointer, raw.assumingMemoryBound(to: uv_tcp_t.self))
        }
        let result = unsafe uv_tcp_open(UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: uv_tcp_t.self), descriptor.number)
        guard result == 0 else {
            self.owner = nil
            close()
            throw UVError(code: result, call: "uv_tcp_open")
        }
        _ = descriptor.release()
    }

    deinit { unsafe request?.deallocate() }

    private var stream: UnsafeMutablePointer<uv_stream_t> {
        unsafe UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: uv_stream_t.self)
    }

    /// -1 once it closes.
    public var descriptor: Int32 {
        var number: Int32 = -1
        if isClosing { return -1 }
        // On an error the number stays -1.
        unsafe _ = uv_fileno(pointer, &number)
        return number
    }

    // MARK: reading

    /// Has libuv read whatever comes, as long as there is room. Idempotent.
    public func startReading() throws(UVError) {
        wasFull = false
        if reading || isClosing { return }
        try UVError.check(
            unsafe uv_read_start(
                stream,
                { handle, _, buffer in
                    guard let handle = unsafe handle, let buffer = unsafe buffer else { return }
                    let free = unsafe UVStream.recover(handle).roomForReading()
                    // Of no room libuv tells the read callback, as UV_ENOBUFS.
                    unsafe buffer.pointee = uv_buf_init(free.baseAddress?.assumingMemoryBound(to: CChar.self), UInt32(clamping: free.count))
                },
                { handle, count, _ in
                    guard let handle = unsafe handle else { return }
                    unsafe UVStream.recover(handle).didRead(count)
                }), "uv_read_start")
        reading = true
    }

    public func stopReading() {
        if !reading || isClosing { return }
        reading = false
        unsafe _ = uv_read_stop(stream)
    }

    private func roomForReading() -> UnsafeMutableRawBufferPointer {
        guard let chunk else {
            let fresh = pool.take()
            chunk = fresh
            return unsafe fresh.free
        }
        if chunk.room == 0 && chunk.count <= chunk.capacity / 2 { chunk.compact() }
        return unsafe chunk.free
    }

    private func didRead(_ count: Int) {
        if count > 0 {
            chunk?.advance(by: count)
            owner?.streamDidRead()
            return
        }
        giveBackIfEmpty()
        // Zero is libuv's EAGAIN.
        if count == 0 { return }
        if count == Int(UV_ENOBUFS.rawValue) && chunk?.room == 0 {
            // A reader that was woken empties the buffer before the next event, and a stop and start would cost two system calls. One that does not
            // makes the bytes wait in the kernel.
            if wasFull { stopReading() } else { wasFull = true }
            return
        }
        stopReading()
        owner?.streamReadingEnded(count == Int(UV_EOF.rawValue) ? nil : UVError(code: Int32(truncatingIfNeeded: count), call: "read"))
    }

    /// Takes up to so many bytes out of the input.
    public func takeInput(_ count: Int) -> [UInt8] {
        guard let chunk else { return [] }
        let bytes = chunk.take(count)
        wasFull = false
        giveBackIfEmpty()
        return bytes
    }

    /// Lets `body` look at the input, and takes as much as it says that it has used. It may close the stream, but must not read from it.
    ///
    /// - Returns: what `body` says, unless that is impossible: then nil, and it has used nothing.
    public func lendInput(_ body: (Span<UInt8>) throws -> Int) rethrows -> Int? {
        guard let chunk else { return nil }
        isLent = true
        defer {
            isLent = false
            if isClosing { pool.give(chunk) } else { giveBackIfEmpty() }
        }
        let count = try chunk.withBytes(body)
        if count < 0 || count > chunk.count { return nil }
        chunk.consume(count)
        wasFull = false
        return count
    }

    private func giveBackIfEmpty() {
        guard let chunk, chunk.isEmpty else { return }
        self.chunk = nil
        pool.give(chunk)
    }

    // MARK: writing

    /// Writes what the system takes at once, possibly nothing. Only while no write is queued.
    public func tryWrite(_ bytes: Span<UInt8>) throws(UVError) -> Int {
        if isClosing { throw UVError(code: UV_ECANCELED.rawValue, call: "write") }
        let result = unsafe bytes.withUnsafeBytes { source in
            // SAFETY: libuv reads from the buffer and does not keep it.
            var buffer = unsafe uv_buf_init(
                UnsafeMutablePointer(mutating: source.baseAddress?.assumingMemoryBound(to: CChar.self)), UInt32(clamping: source.count))
            return unsafe uv_try_write(stream, &buffer, 1)
        }
        if result >= 0 { return Int(result) }
        if result == UV_EAGAIN.rawValue { return 0 }
        throw UVError(code: result, call: "write")
    }

    /// Queues a chunk, which belongs to libuv until `streamDidWrite`. One at a time.
    public func write(_ chunk: UVChunk) throws(UVError) {
        precondition(writing == nil, "AsyncUV: two writes are queued on a stream")
        if isClosing { throw UVError(code: UV_ECANCELED.rawValue, call: "write") }
        let request: UnsafeMutablePointer<uv_write_t>
        if let existing = unsafe self.request {
            unsafe request = existing
        } else {
            unsafe request = .allocate(capacity: 1)
            unsafe self.request = request
        }
        let source = unsafe chunk.bytes
        // Not uv_buf_init, which takes 32 bits of length: the rest of a longer chunk would be lost.
        var buffer = unsafe uv_buf_t(base: UnsafeMutablePointer(mutating: source.baseAddress?.assumingMemoryBound(to: CChar.self)), len: source.count)
        try UVError.check(
            unsafe uv_write(request, stream, &buffer, 1) { request, status in
                guard let handle = unsafe request?.pointee.handle else { return }
                unsafe UVStream.recover(handle).didWrite(status)
            }, "write")
        writing = chunk
    }

    private func didWrite(_ status: Int32) {
        guard let chunk = writing.take() else { return }
        if let owner {
            owner.streamDidWrite(chunk, status < 0 ? UVError(code: status, call: "write") : nil)
        } else {
            pool.give(chunk)
        }
    }

    /// Ends the writing side: the peer sees the end of the stream. Nothing must be queued.
    public func shutdownWriting() throws(UVError) {
        try Sockets.shutdownWriting(descriptor)
    }

    public func setNoDelay(_ on: Bool) throws(UVError) {
        try Sockets.setNoDelay(descriptor, on)
    }

    public func localName() throws(UVError) -> SocketName {
        try Sockets.localName(descriptor)
    }

    // MARK: the end

    /// Closes, and breaks the connection off: the peer gets a reset.
    public func reset() {
        if isClosing { return }
        Sockets.resetOnClose(descriptor)
        close()
    }

    public override func willClose() {
        if let chunk = chunk.take(), !isLent { pool.give(chunk) }
        let owner = owner
        self.owner = nil
        owner?.streamWillClose()
    }
}
