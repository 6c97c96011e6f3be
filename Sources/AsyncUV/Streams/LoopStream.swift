internal import UVCore

/// A connection of an event loop: what TCP connections, Unix sockets, pipes and terminals have in common.
///
/// An idle one, with or without a task that waits to read, holds no buffer; one whose bytes nobody takes holds 64 KiB, and the rest waits in the kernel and at the
/// peer. What is written and not taken by the system is held up to the high-water mark.
public class LoopStream: ByteStream, @unchecked Sendable, CustomStringConvertible {
    // Sendable: the core is touched on the loop's thread only, apart from its constants.

    final let core: StreamCore

    init(_ transport: any StreamTransport, peer: Endpoint, loop: EventLoop, file: String, line: Int) {
        core = StreamCore(transport, peer: peer, loop: loop, file: file, line: line)
    }

    deinit {
        if core.loop.isOwner {
            core.abandon()
        } else {
            let core = core
            // After an abort or close that was posted before. Refused by a closed loop only, which has closed the stream.
            _ = core.loop.inbox.post(.call { core.abandon() })
        }
    }

    public final var loop: EventLoop { core.loop }

    public var description: String { "stream to \(core.peer)" }

    /// What every call begins with that belongs to the loop's thread.
    final func open(_ operation: String) throws -> any StreamTransport {
        guard core.loop.isOwner else {
            throw LoopError.misuse(operation, on: "\(core.peer)", "called on another thread; use loop.callSoonThreadsafe { … }")
        }
        guard let transport = core.transport else { throw core.closedError(operation) }
        return transport
    }

    // MARK: reading

    // The memory of a task that waits to read is, for the most part, what these functions keep over the wait: what is not on the straight way is in functions of its own.

    public final func read(atMost limit: Int) async throws -> [UInt8]? {
        guard let task = core.loop.callingTask else { return try await readFromElsewhere(atMost: limit) }
        try requireReader(limit, least: 1, "read(atMost:")
        if core.available == 0 { try await core.waitForInput(1, by: task) }
        return try core.takeInput(atMost: limit)
    }

    public final func read(exactly count: Int) async throws -> [UInt8] {
        guard let task = core.loop.callingTask else { return try await readFromElsewhere(exactly: count) }
        try requireReader(count, least: 0, "read(exactly:")
        if core.available < count { try await core.waitForInput(count, by: task) }
        return try core.takeInput(exactly: count)
    }

    public final func withBytes(atLeast minimum: Int, _ body: (Span<UInt8>) throws -> Int) async throws -> Int? {
        guard let task = core.loop.callingTask else { throw bufferIsElsewhere() }
        try requireReader(minimum, least: 1, "withBytes(atLeast:")
        if core.available < minimum { try await core.waitForInput(minimum, by: task) }
        return try core.lendInput(atLeast: minimum, by: task, body)
    }

    @inline(never)
    private final func requireReader(_ count: Int, least: Int, _ operation: String) throws {
        if count < least { throw LoopError.misuse("\(operation) \(count))", on: "\(core.peer)", "at least \(least) bytes must be asked for") }
        try core.requireReader()
    }

    @inline(never)
    private final func readFromElsewhere(atMost limit: Int) async throws -> [UInt8]? {
        try await bridged("LoopStream.read", on: core.loop) { try await self.read(atMost: limit) }
    }

    @inline(never)
    private final func readFromElsewhere(exactly count: Int) async throws -> [UInt8] {
        try await bridged("LoopStream.read", on: core.loop) { try await self.read(exactly: count) }
    }

    @inline(never)
    private final func bufferIsElsewhere() -> LoopError {
        LoopError.misuse("withBytes", on: "\(core.peer)", "only a LoopTask of the stream's loop sees its buffer; read(atMost:) works everywhere")
    }

    // MARK: writing

    public final func write(_ bytes: [UInt8]) async throws {
        guard let task = core.loop.callingTask else {
            return try await bridged("LoopStream.write", on: core.loop) { try await self.write(bytes) }
        }
        if try core.writeAtOnce(bytes.span) { return }
        try await core.write(bytes, by: task)
    }

    public final func write(parts: [[UInt8]]) async throws {
        // The parts go through one buffer, and so to the system in one call. Beyond the high-water mark one more copy is the least of the costs.
        if parts.count == 1 { return try await write(parts[0]) }
        try await write(Array(parts.joined()))
    }

    public final func tryWrite(_ bytes: Span<UInt8>) throws -> Bool {
        _ = try open("tryWrite")
        return try core.writeAtOnce(bytes)
    }

    public final func flush() async throws {
        guard let task = core.loop.callingTask else {
            return try await bridged("LoopStream.flush", on: core.loop) { try await self.flush() }
        }
        try await core.flush(by: task)
    }

    public final func closeWrite() throws {
        // Of a stream that is only written that was its end.
        if core.loop.isOwner && core.isWriteClosed && core.ways == .onlyWriting { return }
        _ = try open("closeWrite")
        try core.closeWrite()
    }

    /// How many bytes the stream admits before writers wait; the same number bounds what it ever holds. 65,536 unless set; at least 1. On the loop's thread.
    ///
    /// - Throws: `LoopError` `.misuse`, `.closed`.
    public final func setHighWaterMark(_ bytes: Int) throws {
        _ = try open("setHighWaterMark")
        if bytes < 1 { throw LoopError.misuse("setHighWaterMark(\(bytes))", on: "\(core.peer)", "at least one byte must fit") }
        core.highWater = bytes
        core.writers.first?.wake()
    }

    /// Bytes that were admitted and are not with the system yet. On the loop's thread.
    public final var pendingBytes: Int { core.pending }

    final func set(_ option: SocketOption, _ operation: String) throws {
        let transport = try open(operation)
        do {
            try transport.set(option)
        } catch {
            throw LoopError(error, operation, on: "\(core.peer)")
        }
    }

    // MARK: the end

    public final func close() async throws {
        guard let task = core.loop.callingTask else {
            return try await bridged("LoopStream.close", on: core.loop) { try await self.close() }
        }
        try await core.close(by: task)
    }

    public final func abort() {
        if core.loop.isOwner {
            core.abort()
        } else {
            // Refused by a closed loop only, which has closed the stream.
            // With the object itself: the loop's thread may be the last one to hold it, and letting go of it must not come first.
            _ = core.loop.inbox.post(.call { [self] in core.abort() })
        }
    }

    public final func waitClosed() async throws {
        guard let task = core.loop.callingTask else {
            return try await bridged("LoopStream.waitClosed", on: core.loop) { try await self.waitClosed() }
        }
        try await core.waitClosed(by: task)
    }

    /// This side has closed the stream, or begun to. On the loop's thread.
    public final var isClosing: Bool { core.phase != .open }
}
