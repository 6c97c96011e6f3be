internal import UVCore

/// The size of a terminal, in characters.
public struct TerminalSize: Hashable, Sendable, CustomStringConvertible {
    public var columns: Int
    public var rows: Int

    public init(columns: Int, rows: Int) {
        self.columns = columns
        self.rows = rows
    }

    public var description: String { "\(columns)×\(rows)" }
}

/// A terminal's settings: its size, and how it treats what is typed. Its bytes come through ``TerminalStream`` or ``StandardStream``.
///
/// From any thread and any loop.
public final class Terminal: @unchecked Sendable, CustomStringConvertible {
    // Sendable: what changes is behind the lock.
    private let lock = ThreadLock()
    /// Its own; nil once the stream that it came with is closed.
    private var descriptor: Descriptor?
    private var watches: [ObjectIdentifier: Watch] = [:]
    /// Such as `/dev/pts/3`; of the controlling side, that of the terminal it controls.
    public let name: String

    /// What is typed, and how it arrives.
    public enum Mode: Sendable {
        /// Every byte as it is typed; no echo, no signals from Control-C and the like, and output as it is: a new line is `\r\n`.
        case raw
        /// Every byte as it is typed, without echo. Control-C and Control-Z are signals, and output is as usual.
        case cbreak
        /// Whole lines, but not shown: for a password.
        case noEcho
    }

    /// The terminal behind an open descriptor, which stays its owner's.
    ///
    /// - Throws: `LoopError` `.misuse` if it is no terminal; `.system`.
    public init(descriptor number: Int32) throws {
        let subject = "descriptor \(number)"
        guard Terminals.isTerminal(number) else {
            let kind = try? Pipes.kind(of: number)
            throw LoopError.misuse("Terminal", on: subject, kind.map { "it is \($0.words), not a terminal" } ?? "it is not open")
        }
        do {
            descriptor = try Pipes.duplicate(number)
            // The controlling side's own name is that of all of them.
            name = (try? Terminals.controlledName(number)) ?? (try? Terminals.name(number)) ?? "terminal"
        } catch {
            throw LoopError(error, "Terminal", on: subject)
        }
    }

    /// Whether a descriptor leads to a terminal: 0, 1 and 2 are the standard ones.
    public static func isTerminal(descriptor: Int32) -> Bool { Terminals.isTerminal(descriptor) }

    public var description: String { "terminal \(name)" }

    /// How large it is now. 0×0 if nobody has said.
    ///
    /// - Throws: `LoopError` `.system`, if it is gone; `.closed` if it came with a ``TerminalStream`` that is closed.
    public func size() throws -> TerminalSize {
        try withDescriptor("size") { number throws(UVError) in
            let (columns, rows) = try Terminals.size(number)
            return TerminalSize(columns: columns, rows: rows)
        }
    }

    /// Says how large it is, for who shows it. Programs in its foreground are told by SIGWINCH.
    ///
    /// - Throws: as ``size()``.
    public func setSize(_ size: TerminalSize) throws {
        try withDescriptor("setSize \(size)") { number throws(UVError) in
            try Terminals.setSize(number, columns: size.columns, rows: size.rows)
        }
    }

    /// Sets a mode for the time of `body`.
    ///
    /// Scopes may lie in one another, or end in any order, also in several tasks: the last one that has not ended holds.
    ///
    /// **It is put back** when `body` ends, however it does; when the process exits; when it is ended by a signal (SIGHUP, SIGINT, SIGQUIT, SIGTERM, unless the program handles
    /// it itself), or crashes; and while it is stopped by Control-Z (SIGTSTP). Not after SIGKILL and SIGSTOP, which nobody can act on: `reset` or `stty sane` help.
    ///
    /// In the background, setting a mode stops the process until it is brought to the foreground (SIGTTOU), as it does every program; nothing is put back from there.
    /// - Parameter body: runs where the caller is.
    /// - Cancellation: as of `body`.
    /// - Throws: what `body` throws; otherwise as ``size()``.
    public func withMode<Value>(_ mode: Mode, _ body: () async throws -> Value) async throws -> Value {
        let wanted: TerminalModes.Mode
        switch mode {
        case .raw: wanted = .raw
        case .cbreak: wanted = .cbreak
        case .noEcho: wanted = .noEcho
        }
        let token = try withDescriptor("withMode(.\(mode))") { number throws(UVError) in try TerminalModes.enter(wanted, number) }
        defer { TerminalModes.leave(token) }
        return try await body()
    }

    private func withDescriptor<Value>(_ operation: String, _ body: (Int32) throws(UVError) -> Value) throws -> Value {
        try lock.withLock {
            guard let number = descriptor?.number else { throw LoopError(.closed, operation, on: name, "its stream is closed") }
            do throws(UVError) {
                return try body(number)
            } catch {
                throw LoopError(error, operation, on: name)
            }
        }
    }

    // MARK: the end

    /// A task that waits for something of the terminal; nil when it has resumed.
    final class Watch: @unchecked Sendable {
        // Sendable: the task is looked at on its loop's thread only.
        let loop: EventLoop
        var task: AnyLoopTask?

        init(_ task: AnyLoopTask) {
            loop = task.loop
            self.task = task
        }
    }

    func add(_ watch: Watch) { lock.withLock { watches[ObjectIdentifier(watch)] = watch } }

    func remove(_ watch: Watch) {
        watch.task = nil
        lock.withLock { _ = watches.removeValue(forKey: ObjectIdentifier(watch)) }
    }

    /// The stream that it came with is closed, and must not be held open by it.
    func release() {
        let told = lock.withLock {
            descriptor = nil
            return Array(watches.values)
        }
        for watch in told {
            // Refused by a closed loop only, where nobody waits.
            _ = watch.loop.inbox.post(.call { watch.task?.wake() })
        }
    }
}
