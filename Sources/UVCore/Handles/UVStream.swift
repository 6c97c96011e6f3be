internal import CLibUV
internal import Glibc

/// Who is told what happens on a stream, and has the memory that it reads into. Held by the stream until it closes.
public protocol StreamOwner: AnyObject {
    /// Where the next bytes go; nil if there is no room for any: they wait in the system.
    func chunkToFill() -> UVChunk?
    /// So many bytes were appended to the chunk; with 0, none came after all.
    func streamDidRead(_ count: Int)
    /// There were bytes, and no room for them. True: stop reading, until asked again.
    func streamHasNoRoom() -> Bool
    /// The reading side has ended: nil at its regular end. No more bytes will come.
    func streamReadingEnded(_ error: UVError?)
    /// The chunk given to `write` is with the system, or lost.
    func streamDidWrite(_ chunk: UVChunk, _ error: UVError?)
    /// There are bytes, and they are not read, although there is room: what has come with those before must be taken first. Reading has stopped.
    func streamIsHeldUp()
    /// The handle closes, whoever asked for it.
    func streamWillClose()
}

/// A `uv_stream_t` over a connected descriptor: reading while there is room, trying to write, and one queued write at a time.
@safe public final class UVStream: UVHandle {
    /// What kind of descriptor it is.
    public enum Kind {
        case tcp
        /// A Unix socket, or a pipe.
        case pipe
        /// A terminal, or its controlling side.
        case terminal
    }

    // Private, as the others: what other modules could change is checked for exclusive access at run time.
    private var owner: (any StreamOwner)?
    /// What libuv reads into, from the moment it asks for room until the read callback, which follows at once.
    private var filling: UVChunk?
    /// For a chunk that comes back when nobody is told any more.
    private let pool: UVChunkPool
    private let kind: Kind
    /// libuv calls back for what arrives.
    public var isReading: Bool { reading }
    private var reading = false
    /// The chunk that libuv writes from.
    private var writing: UVChunk?
    // SAFETY: allocated by the first `write`, freed in deinit, which cannot come before the close callback; libuv uses it from uv_write to
    // the write callback, and that comes before the close callback at the latest.
    private var request: UnsafeMutablePointer<uv_write_t>?

    /// Before anything else is asked of the stream.
    public func attach(_ owner: any StreamOwner) { self.owner = owner }

    /// Takes over a connected, non-blocking descriptor; on an error it is closed.
    public init(_ kind: Kind, _ descriptor: consuming Descriptor, loop: UVLoop, pool: UVChunkPool) throws(UVError) {
        self.pool = pool
        self.kind = kind
        unsafe request = nil
        switch kind {
        case .tcp:
            try unsafe super.init(loop: loop, type: UV_TCP, call: "uv_tcp_init") { raw in
                unsafe uv_tcp_init(loop.pointer, raw.assumingMemoryBound(to: uv_tcp_t.self))
            }
        case .pipe, .terminal:
            try unsafe super.init(loop: loop, type: UV_NAMED_PIPE, call: "uv_pipe_init") { raw in
                unsafe uv_pipe_init(loop.pointer, raw.assumingMemoryBound(to: uv_pipe_t.self), 0)
            }
        }
        let result: Int32
        switch kind {
        case .tcp: result = unsafe uv_tcp_open(UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: uv_tcp_t.self), descriptor.number)
        case .pipe, .terminal: result = unsafe uv_pipe_open(UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: uv_pipe_t.self), descriptor.number)
        }
        guard result == 0 else {
            close()
            throw UVError(code: result, call: "uv_stream_open")
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
        if reading || isClosing { return }
        try UVError.check(
            unsafe uv_read_start(
                stream,
                { handle, _, buffer in
                    guard let handle = unsafe handle, let buffer = unsafe buffer else { return }
                    // Of no room libuv tells the read callback, as UV_ENOBUFS.
                    let free = unsafe UVStream.recover(handle).roomToFill()
                    unsafe buffer.pointee = uv_buf_init(free?.baseAddress?.assumingMemoryBound(to: CChar.self), UInt32(clamping: free?.count ?? 0))
                },
                { handle, count, buffer in
                    guard let handle = unsafe handle else { return }
                    unsafe UVStream.recover(handle).didRead(count, hasRead: buffer?.pointee.base != nil)
                }), "uv_read_start")
        reading = true
    }

    public func stopReading() {
        if !reading || isClosing { return }
        reading = false
        unsafe _ = uv_read_stop(stream)
    }

    private func roomToFill() -> UnsafeMutableRawBufferPointer? {
        filling = owner?.chunkToFill()
        return unsafe filling?.free
    }

    private func didRead(_ count: Int, hasRead: Bool) {
        let chunk = filling.take()
        guard let owner else { return }
        if count >= 0 {
            // Zero is libuv's EAGAIN.
            chunk?.advance(by: count)
            owner.streamDidRead(count)
        } else if count == Int(UV_ENOBUFS.rawValue) && chunk == nil {
            if owner.streamHasNoRoom() { stopReading() }
        } else if count == Int(UV_EOF.rawValue) && !hasRead {
            readAfterHangUp(owner)
        } else {
            endReading(count == Int(UV_EOF.rawValue) ? nil : UVError(code: Int32(truncatingIfNeeded: count), call: "read"))
        }
    }

    /// When the peer has hung up, libuv takes a short read for the last one, and says that the stream has ended without having asked: it has not seen that the connection
    /// was broken off, nor what a terminal still holds. So the system is asked.
    private func readAfterHangUp(_ owner: any StreamOwner) {
        stopReading()
        // Without room the next `startReading` comes here again.
        while !isClosing, let chunk = owner.chunkToFill() {
            let count = unsafe read(descriptor, chunk.free.baseAddress, chunk.free.count)
            let error = errno
            chunk.advance(by: max(count, 0))
            owner.streamDidRead(max(count, 0))
            if count > 0 || error == EINTR && count < 0 { continue }
            if !isClosing { endReading(count == 0 || error == EAGAIN ? nil : UVError(code: -error, call: "read")) }
            return
        }
    }

    private func endReading(_ error: UVError?) {
        stopReading()
        // What the controlling side of a terminal is told when nobody has the other one open any more.
        let isHangUp = kind == .terminal && error?.code == UV_EIO.rawValue
        owner?.streamReadingEnded(isHangUp ? nil : error)
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
        // A terminal's other side cannot be told.
        if kind == .terminal { return }
        try Sockets.shutdownWriting(descriptor)
    }

    // MARK: the end

    /// See `SocketOption`.
    public func set(_ option: SocketOption) throws(UVError) { try Sockets.set(option, on: descriptor) }

    /// Closes, and breaks the connection off: the peer gets a reset.
    public func reset() {
        if isClosing { return }
        Sockets.resetOnClose(descriptor)
        close()
    }

    public override func willClose() {
        let owner = self.owner
        self.owner = nil
        owner?.streamWillClose()
    }
}
