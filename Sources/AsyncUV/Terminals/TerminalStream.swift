internal import UVCore

/// The bytes of a terminal, both ways: what is typed is read, what is written is shown.
///
/// Without a mode (``Terminal/withMode(_:_:)``) a read gets whole lines. It is read only while a task waits for it, so that a program which went to the background does not take
/// what is typed for another; to wait there stops the process (SIGTTIN), as it does every program. Control-D is the end of the stream, for good, and so is a terminal that is gone.
/// A terminal has no end that `closeWrite` could send: it only ends writing here.
public final class TerminalStream: LoopStream, @unchecked Sendable {
    // Sendable as LoopStream.

    /// Its size and modes, until the stream is closed.
    public let terminal: Terminal

    /// Opens the process's controlling terminal, or another one. It is opened anew: that it does not block is nothing others see.
    ///
    /// - Throws: `LoopError` `.system`, ENXIO if the process has no terminal, as a daemon; `.misuse` if it is none, where there is no event loop, or on another thread than its own.
    public static func open(
        _ path: String = "/dev/tty", on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) throws -> TerminalStream {
        let loop = try ownLoop(loop, "TerminalStream.open")
        do {
            return try TerminalStream(Pipes.open(path, reads: true, writes: true), loop, file: file, line: line)
        } catch let error as UVError {
            throw LoopError(error, "TerminalStream.open", on: path, advice: error.name == "ENXIO" ? "the process has no controlling terminal" : "")
        }
    }

    /// Makes a terminal that this program is behind, for another one to run in: the controlling side, which reads what is shown and writes what is typed.
    ///
    /// A program gets it by the name (``Terminal/name``). When nobody has it open any more after somebody had, the controlling side reads what is left and then nil.
    /// - Throws: `LoopError` `.system`; `.misuse` as ``open(_:on:file:line:)``.
    public static func controller(
        size: TerminalSize = TerminalSize(columns: 80, rows: 24), on loop: EventLoop? = nil, file: String = #fileID, line: Int = #line
    ) throws -> TerminalStream {
        let loop = try ownLoop(loop, "TerminalStream.controller")
        do {
            let descriptor = try Terminals.openController()
            try Terminals.setSize(descriptor.number, columns: size.columns, rows: size.rows)
            return try TerminalStream(descriptor, loop, file: file, line: line)
        } catch let error as UVError {
            throw LoopError(error, "TerminalStream.controller")
        }
    }

    private init(_ descriptor: consuming Descriptor, _ loop: EventLoop, file: String, line: Int) throws {
        terminal = try Terminal(descriptor: descriptor.number)
        let transport = try loop.makeTransport(.terminal, descriptor)
        super.init(transport, peer: .label(terminal.name), loop: loop, file: file, line: line)
        core.readsAhead = false
        core.didClose = { [terminal] in terminal.release() }
    }

    public override var description: String { "\(terminal)" }
}
