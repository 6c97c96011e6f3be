internal import UVCore

/// A TCP connection; ``TCPListener/accept(file:line:)`` and ``connect(to:on:file:line:)`` make them.
///
/// Small writes are sent at once (TCP_NODELAY), unless ``setNoDelay(_:)`` says otherwise. An idle connection, with or without a task that waits to read, holds no
/// buffer; one whose bytes nobody takes holds 64 KiB, and the rest waits in the kernel and at the peer.
public final class TCPStream: ByteStream, @unchecked Sendable, CustomStringConvertible {
    // Sendable: the core is touched on the loop's thread only, apart from its constants.

    let core: StreamCore

    /// - Throws: what libuv says; the descriptor is closed then.
    init(_ descriptor: consuming Descriptor, peer: SocketAddress, loop: EventLoop, file: String, line: Int) throws(UVError) {
        core = try StreamCore(tcp: descriptor, peer: peer, loop: loop, file: file, line: line)
    }

    deinit {
        if core.loop.isOwner {
            core.abandon()
        } else {
            let core = core
            // Refused by a closed loop only, which has closed the stream.
            _ = core.loop.inbox.post(.immediate { core.abandon() })
        }
    }

    public var loop: EventLoop { core.loop }

    /// The address at the other end.
    public var peerAddress: SocketAddress { core.peer }

    /// The address at this end. On the loop's thread.
    ///
    /// - Throws: `LoopError` `.closed`, `.misuse` on another thread.
    public func localAddress() throws -> SocketAddress {
        let uv = try open("localAddress")
        do {
            return SocketAddress(try uv.localName())
        } catch {
            throw LoopError(error, "localAddress", on: "\(core.peer)")
        }
    }

    public var description: String { "TCP stream to \(core.peer)" }

    /// The public part of every call that belongs to the loop's thread.
    private func open(_ operation: String) throws -> UVStream {
        guard core.loop.isOwner else {
            throw LoopError.misuse(operation, on: "\(core.peer)", "called on another thread; use loop.callSoonThreadsafe { … }")
        }
        guard let uv = core.uv else { throw core.closedError(operation) }
        return uv
    }

    // MARK: reading

    public func read(atMost limit: Int) async throws -> [UInt8]? {
        guard let task = core.loop.callingTask else {
            return try await bridged("TCPStream.read", on: core.loop) { try await self.read(atMost: limit) }
        }
        if limit <= 0 { throw LoopError.misuse("read(atMost: \(limit))", on: "\(core.peer)", "at least one byte must be asked for") }
        try core.requireReader("read")
        if core.available == 0 { try await core.waitForInput(1, "read", by: task) }
        return try core.takeInput(atMost: limit)
    }

    public func read(exactly count: Int) async throws -> [UInt8] {
        guard let task = core.loop.callingTask else {
            return try await bridged("TCPStream.read", on: core.loop) { try await self.read(exactly: count) }
        }
        if count < 0 { throw LoopError.misuse("read(exactly: \(count))", on: "\(core.peer)", "a count is not negative") }
        try core.requireReader("read")
        if core.available < count { try await core.waitForInput(count, "read", by: task) }
        return try core.takeInput(exactly: count)
    }

    /// Waits until there are `minimum` bytes, and lets `body` look at all there are, without a copy; what it returns is how many of them it has used. The others
    /// stay, for a read that asks for more.
    ///
    /// At the end of the stream `body` gets what is left, even if that is less than `minimum`; when nothing is left it is not called any more.
    /// `body` may close or abort the stream; a task that it starts and that reads finds the stream busy.
    /// - Parameter minimum: 1 to 65536. If `body` has used nothing, ask for more than it saw: otherwise the next call returns at once with the same.
    /// - Returns: what `body` returned; nil at the end of the stream.
    /// - Cancellation: lossless.
    /// - Throws: as ``read(atMost:)``; what `body` throws, then it has used nothing; `.misuse` outside of a LoopTask of the stream's loop.
    public func withBytes(atLeast minimum: Int = 1, _ body: (Span<UInt8>) throws -> Int) async throws -> Int? {
        guard let task = core.loop.callingTask else {
            throw LoopError.misuse("withBytes", on: "\(core.peer)", "only a LoopTask of the stream's loop sees its buffer; read(atMost:) works everywhere")
        }
        if minimum < 1 || minimum > UVChunk.standardCapacity {
            throw LoopError.misuse("withBytes(atLeast: \(minimum))", on: "\(core.peer)", "ask for 1 to \(UVChunk.standardCapacity) bytes")
        }
        try core.requireReader("read")
        if core.available < minimum { try await core.waitForInput(minimum, "read", by: task) }
        guard let uv = core.uv, let input = uv.input else {
            if let error = core.readError { throw error }
            return nil
        }
        // A task that `body` starts eagerly must not move the bytes that it looks at.
        core.reader = task
        defer { core.reader = nil }
        let available = input.count
        var said = 0
        let used = try uv.lendInput { bytes in
            said = try body(bytes)
            return said
        }
        guard let used else {
            throw LoopError.misuse("withBytes", on: "\(core.peer)", "the closure says that it has used \(said) of \(available) bytes")
        }
        return used
    }

    // MARK: writing

    public func write(_ bytes: [UInt8]) async throws {
        guard let task = core.loop.callingTask else {
            return try await bridged("TCPStream.write", on: core.loop) { try await self.write(bytes) }
        }
        if try core.writeAtOnce(bytes.span) { return }
        try await core.write(bytes, by: task)
    }

    public func flush() async throws {
        guard let task = core.loop.callingTask else {
            return try await bridged("TCPStream.flush", on: core.loop) { try await self.flush() }
        }
        try await core.flush(by: task)
    }

    public func closeWrite() throws {
        _ = try open("closeWrite")
        try core.closeWrite()
    }

    /// How many bytes the stream admits before writers wait; the same number bounds what it ever holds. 65,536 unless set; at least 1. On the loop's thread.
    ///
    /// - Throws: `LoopError` `.misuse`, `.closed`.
    public func setHighWaterMark(_ bytes: Int) throws {
        _ = try open("setHighWaterMark")
        if bytes < 1 { throw LoopError.misuse("setHighWaterMark(\(bytes))", on: "\(core.peer)", "at least one byte must fit") }
        core.highWater = bytes
        core.writers.first?.wake()
    }

    /// Bytes that were admitted and are not with the system yet. On the loop's thread.
    public var pendingBytes: Int { core.pending }

    /// Whether small writes are sent at once (the default), or wait for more while an acknowledgement is due. On the loop's thread.
    ///
    /// - Throws: `LoopError` `.closed`, `.misuse` on another thread.
    public func setNoDelay(_ on: Bool) throws {
        let uv = try open("setNoDelay")
        do {
            try uv.setNoDelay(on)
        } catch {
            throw LoopError(error, "setNoDelay", on: "\(core.peer)")
        }
    }

    // MARK: the end

    public func close() async throws {
        guard let task = core.loop.callingTask else {
            return try await bridged("TCPStream.close", on: core.loop) { try await self.close() }
        }
        try await core.close(by: task)
    }

    public func abort() {
        if core.loop.isOwner {
            core.abort()
        } else {
            // Refused by a closed loop only, which has closed the stream.
            _ = core.loop.inbox.post(.call { [core] in core.abort() })
        }
    }

    public func waitClosed() async throws {
        guard let task = core.loop.callingTask else {
            return try await bridged("TCPStream.waitClosed", on: core.loop) { try await self.waitClosed() }
        }
        try await core.waitClosed(by: task)
    }

    /// This side has closed the stream, or begun to. On the loop's thread.
    public var isClosing: Bool { core.phase != .open }
}
