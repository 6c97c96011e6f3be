internal import UVCore

/// The process's standard input, output or error as a byte stream, whatever is behind it: a pipe, a terminal, a file, a socket, `/dev/null`.
///
/// ```swift
/// let output = try StandardStream.output()
/// while let bytes = try await StandardStream.input().read() { try await output.write(bytes) }
/// ```
///
/// **One each.** The first call opens it, on its loop; later calls on that loop give the same object, until it is closed. On another loop they throw `.busy`.
/// The loop keeps it: it need not be closed.
///
/// **Its end.** When the loop closes, as at the end of ``EventLoop/run(clock:cancellingOn:interruption:grace:file:line:_:)``, what was admitted to output and error is
/// written, within the grace; what could not be is reported. A process that calls `exit` loses it: `flush()` before. `close()` closes this stream, not the process's
/// descriptor: `print` goes on working, and a pipe's reader sees the end when the process ends, or after ``ByteStream/closeWrite()``, after which descriptor 1 leads to `/dev/null`.
///
/// **What others see.** The descriptors are shared with the shell and other processes, so they are not set to non-blocking: pipes and terminals are opened once more
/// (`/proc/self/fd`), and that is ours alone. Where this cannot be done (files, devices, sockets, named pipes, and pipes that belong to another user) a thread reads or writes,
/// in order. Input is read only while a task waits for it, up to 64 KiB at a time: what was read and not taken is lost to others who read the same.
///
/// **Errors.** A reader that is gone (`daemon | head -1`) makes writes throw `.connectionLost` (EPIPE), a full disk `.system` (ENOSPC); there is no signal. In the background, reading
/// from a terminal stops the process (SIGTTIN), as it does every program, until it is brought to the front. Control-D ends input for good.
///
/// What `print` writes has a buffer of its own: do not mix the two on one stream where the order matters.
public final class StandardStream: LoopStream, @unchecked Sendable {
    // Sendable as LoopStream; the rest is constant.

    /// What is behind it.
    public enum Kind: Sendable {
        case pipe
        case terminal
        case file
        case socket
        /// `/dev/null`, and everything else.
        case other
    }

    /// 0, 1 or 2.
    public let number: Int32
    public let kind: Kind
    /// Its size and modes, if it is a terminal.
    public let terminal: Terminal?

    /// Standard input; can only be read.
    ///
    /// - Throws: `LoopError` `.closed` if the descriptor was closed by others (one that the process was started without leads to `/dev/null`), `.busy` if another loop has it, `.system`; `.misuse` where there is no event loop, or on another
    ///   thread than its own.
    public static func input(on loop: EventLoop? = nil) throws -> StandardStream { try open(0, loop) }

    /// Standard output; can only be written. Throws as ``input(on:)``.
    public static func output(on loop: EventLoop? = nil) throws -> StandardStream { try open(1, loop) }

    /// Standard error; can only be written. Throws as ``input(on:)``.
    public static func error(on loop: EventLoop? = nil) throws -> StandardStream { try open(2, loop) }

    private static let registry = StandardStreamRegistry()

    private static func open(_ number: Int32, _ loop: EventLoop?) throws -> StandardStream {
        let name = names[Int(number)]
        let loop = try ownLoop(loop, name)
        if let stream = try registry.stream(number, on: loop) { return stream }
        do {
            let terminal = Terminal.isTerminal(descriptor: number) ? try Terminal(descriptor: number) : nil
            let (transport, kind) = try loop.makeSharedTransport(number, reads: number == 0)
            let stream = StandardStream(transport, kind, terminal, number, loop)
            registry.add(stream)
            loop.atEndOfLoop.append(stream)
            return stream
        } catch {
            registry.remove(number)
            guard let error = error as? UVError else { throw error }
            var result = LoopError(error, "open", on: name)
            if error.name == "EBADF" {
                result.code = .closed
                result.detail = "somebody has closed descriptor \(number) (EBADF)"
            }
            throw result
        }
    }

    private static let names = ["standard input", "standard output", "standard error"]

    private init(_ transport: any StreamTransport, _ kind: DescriptorKind, _ terminal: Terminal?, _ number: Int32, _ loop: EventLoop) {
        self.number = number
        self.terminal = terminal
        switch kind {
        case .pipe, .namedPipe: self.kind = .pipe
        case .terminal, .terminalController: self.kind = .terminal
        case .file: self.kind = .file
        case .socket: self.kind = .socket
        case .device, .other: self.kind = .other
        }
        super.init(transport, peer: .label(StandardStream.names[Int(number)]), loop: loop, file: #fileID, line: #line)
        core.ways = number == 0 ? .onlyReading : .onlyWriting
        core.readsAhead = false
        let identity = ObjectIdentifier(self)
        core.didClose = { [unowned loop] in
            StandardStream.registry.remove(number)
            loop.atEndOfLoop.removeAll { ObjectIdentifier($0) == identity }
        }
        if number != 0 {
            core.endWriting = { [unowned core] in
                if kind != .terminal { Pipes.discard(number) }
                core.closeNow()
            }
        }
    }

    public override var description: String { "\(core.peer)" }
}

extension StandardStream: EndOfLoopWork {
    func loopEnds() async {
        if number == 0 {
            abort()
            return
        }
        let waiting = pendingBytes
        do {
            try await close()
        } catch is CancelledError {
            loop.report(LoopReport("\(self) took no more: \(waiting) bytes were not written when the loop closed"))
        } catch {
            loop.report(LoopReport("what was written last is lost: \(error)"))
        }
    }
}

/// Which loop has which of the three.
private final class StandardStreamRegistry: @unchecked Sendable {
    // Sendable: behind the lock.
    private enum Place {
        case free
        /// Somebody is about to open it.
        case taken
        case open(Weak)
    }

    /// The loop keeps the stream.
    private struct Weak {
        weak var stream: StandardStream?
    }

    private let lock = ThreadLock()
    private var places = [Place](repeating: .free, count: 3)

    /// The open one of this loop; nil if nobody had it, then it is taken for the caller.
    func stream(_ number: Int32, on loop: EventLoop) throws -> StandardStream? {
        let found = try lock.withLock { () throws -> StandardStream? in
            switch places[Int(number)] {
            case .open(let place): if let stream = place.stream { return stream }
            case .taken: throw LoopError(.busy, "open", on: "descriptor \(number)", "another thread is about to open it")
            case .free: break
            }
            places[Int(number)] = .taken
            return nil
        }
        // Let go of outside the lock, which its end takes.
        guard let found else { return nil }
        if found.loop === loop { return found }
        throw LoopError(.busy, "open", on: "\(found)", "\(found.loop) has it: one loop of a process at a time")
    }

    func add(_ stream: StandardStream) { lock.withLock { places[Int(stream.number)] = .open(Weak(stream: stream)) } }

    func remove(_ number: Int32) { lock.withLock { places[Int(number)] = .free } }
}

extension EventLoop {
    /// One direction of a descriptor that others may share; nothing of it is changed for them.
    func makeSharedTransport(_ number: Int32, reads: Bool) throws(UVError) -> (any StreamTransport, DescriptorKind) {
        let kind = try Pipes.kind(of: number)
        if kind == .pipe || kind == .terminal {
            do throws(UVError) {
                return (try makeTransport(kind == .pipe ? .pipe : .terminal, try Pipes.reopen(number, reads: reads, writes: !reads)), kind)
            } catch {
                // Not permitted, or a pipe that nobody reads any more: the thread says which, when it writes.
            }
        }
        return (try ThreadedStream(try Pipes.duplicate(number), kind, loop: openUV("uv_async_init"), pool: chunks), kind)
    }
}
