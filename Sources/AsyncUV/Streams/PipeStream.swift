internal import UVCore

/// One end of a pipe, or of a named one (FIFO).
///
/// A pipe is one-way: writing to the reading end and reading from the writing end is `.misuse`. When the writing end is closed, the reader gets what was written and
/// then nil; when the reading end is closed, writes throw `.connectionLost` (EPIPE), and no signal is raised. A write of up to 4096 bytes (PIPE_BUF) that needs no
/// waiting is not mixed with those of other processes.
public final class PipeStream: LoopStream, @unchecked Sendable {
    // Sendable as LoopStream.

    /// Which end of a named pipe to open.
    public enum Direction: Sendable {
        case reading
        case writing
    }

    /// A pipe inside this process, or for a child to inherit an end of. Both ends are closed on exec; the kernel holds up to 64 KiB between them.
    ///
    /// - Throws: `LoopError` `.system` if there are no descriptors left; `.misuse` where there is no event loop, or on another thread than its own.
    public static func pair(
        on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) throws -> (reader: PipeStream, writer: PipeStream) {
        let loop = try ownLoop(loop, "PipeStream.pair")
        do throws(UVError) {
            var ends = try Pipes.pair()
            guard let readEnd = ends.takeReader(), let writeEnd = ends.takeWriter() else { throw UVError.notSupported("pipe2") }
            let reading = try loop.makeTransport(.pipe, readEnd)
            let writing: UVStream
            do throws(UVError) {
                writing = try loop.makeTransport(.pipe, writeEnd)
            } catch {
                reading.close()
                throw error
            }
            return (
                PipeStream(reading, .onlyReading, "pipe", loop, file: file, line: line), PipeStream(writing, .onlyWriting, "pipe", loop, file: file, line: line)
            )
        } catch {
            throw LoopError(error, "PipeStream.pair", advice: "raise the limit of open descriptors (ulimit -n)")
        }
    }

    /// Opens one end of a named pipe. Does not wait for the other end, which a plain open(2) does.
    ///
    /// - Parameter direction: `.reading` works at once; a read waits until somebody has opened the other end, written, or closed it again. `.writing` needs a reader that is
    ///   there already: without one it throws `.system` with ENXIO.
    /// - Throws: `LoopError` `.system`; `.misuse` if it is no pipe, and as ``pair(on:file:line:)``.
    public static func open(
        _ path: String, for direction: Direction, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) throws -> PipeStream {
        let loop = try ownLoop(loop, "PipeStream.open")
        do {
            let descriptor = try Pipes.open(path, reads: direction == .reading, writes: direction == .writing)
            let kind = try Pipes.kind(of: descriptor.number)
            guard kind == .namedPipe || kind == .pipe else {
                throw LoopError.misuse("PipeStream.open", on: path, "it is \(kind.words), not a pipe (mkfifo)")
            }
            let transport = try loop.makeTransport(.pipe, descriptor)
            return PipeStream(transport, direction == .reading ? .onlyReading : .onlyWriting, path, loop, file: file, line: line)
        } catch let error as UVError {
            throw LoopError(error, "PipeStream.open", on: path, advice: error.name == "ENXIO" ? "nobody has opened the other end for reading" : "")
        }
    }

    /// Takes over a pipe's end that the process has inherited or was given: it is the stream's from here on, which closes it. On an error it stays the caller's.
    ///
    /// Which end it is, or both, the descriptor knows. A pipe without a name is opened once more, so that nothing changes for other processes that share the descriptor;
    /// a named one is set to non-blocking, which those see.
    ///
    /// - Parameter descriptor: its number; not a standard one, see ``StandardStream``.
    /// - Throws: `LoopError` `.system`, EBADF for one that is not open; `.misuse` if it is no pipe, and as ``pair(on:file:line:)``.
    public static func adopt(
        descriptor: Int32, on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) throws -> PipeStream {
        let loop = try ownLoop(loop, "PipeStream.adopt")
        let name = "descriptor \(descriptor)"
        do {
            let kind = try Pipes.kind(of: descriptor)
            guard kind == .namedPipe || kind == .pipe else { throw LoopError.misuse("PipeStream.adopt", on: name, "it is \(kind.words), not a pipe") }
            let access = try Pipes.access(of: descriptor)
            let ways = access.reads && access.writes ? StreamWays.both : access.reads ? .onlyReading : .onlyWriting
            let transport = try loop.makeTransport(.pipe, Pipes.adopt(descriptor, kind))
            return PipeStream(transport, ways, name, loop, file: file, line: line)
        } catch let error as UVError {
            throw LoopError(error, "PipeStream.adopt", on: name)
        }
    }

    private init(_ transport: any StreamTransport, _ ways: StreamWays, _ name: String, _ loop: EventLoop, file: String, line: Int) {
        super.init(transport, peer: .label(name), loop: loop, file: file, line: line)
        core.ways = ways
        // The end of a pipe is told by closing it.
        if ways == .onlyWriting { core.endWriting = { [unowned core] in core.closeNow() } }
    }

    /// This end can be read from.
    public var isReadable: Bool { core.ways != .onlyWriting }
    /// This end can be written to.
    public var isWritable: Bool { core.ways != .onlyReading }

    public override var description: String {
        switch core.ways {
        case .both: "pipe (\(core.peer))"
        case .onlyReading: "reading end of a pipe (\(core.peer))"
        case .onlyWriting: "writing end of a pipe (\(core.peer))"
        }
    }
}

/// The loop for something that is made at once, on its thread.
func ownLoop(_ loop: EventLoop?, _ operation: String) throws -> EventLoop {
    let loop = try loop ?? EventLoop.requireCurrent(operation)
    if loop.isClosed { throw LoopError(.closed, operation, on: loop.description, "the loop is closed") }
    guard loop.isOwner else {
        throw LoopError.misuse(operation, on: loop.description, "called on another thread; use loop.callSoonThreadsafe { … }")
    }
    return loop
}

extension DescriptorKind {
    var words: String {
        switch self {
        case .pipe: "a pipe"
        case .namedPipe: "a named pipe"
        case .terminal: "a terminal"
        case .terminalController: "the controlling side of a terminal"
        case .socket: "a socket"
        case .file: "a regular file"
        case .device: "a device"
        case .other: "something else"
        }
    }
}
