internal import UVCore

extension Terminal {
    /// Waits until the size is another one than `known`; returns at once if it is already.
    ///
    /// The system tells the processes in the foreground of their own terminal (SIGWINCH): of changes to another one nothing is heard.
    /// - Cancellation: loses nothing: whoever asks again, with the size that it knows, hears of what has changed meanwhile.
    /// - Throws: as ``size()``, also while it waits; `.misuse` where there is no event loop.
    public func waitForSize(otherThan known: TerminalSize?, on loop: EventLoop? = nil) async throws -> TerminalSize {
        guard let loop = loop ?? EventLoop.current, let task = loop.callingTask else {
            return try await bridged("Terminal.waitForSize", on: loop) { try await self.waitForSize(otherThan: known) }
        }
        let size = try size()
        if size != known { return size }
        let signal: UVSignal
        do {
            signal = try UVSignal.windowSize(loop: loop.openUV("uv_signal_start")) { task.wake() }
        } catch {
            throw LoopError(error, "waitForSize", on: name)
        }
        let watch = Watch(task)
        add(watch)
        defer {
            remove(watch)
            signal.close()
        }
        while true {
            // Looked at only now that a change would be told.
            let size = try self.size()
            if size != known { return size }
            loop.outstanding += 1
            await task.park(.leave)
            loop.outstanding -= 1
            try task.throwIfInterrupted()
        }
    }

    /// The size, and then each other one that it gets. Changes that come while nobody waits are joined in the last of them. Any number of tasks may look.
    ///
    /// Ends by an error only, see ``waitForSize(otherThan:on:)``.
    public var sizes: TerminalSizes { TerminalSizes(terminal: self) }
}

/// See ``Terminal/sizes``.
public struct TerminalSizes: AsyncSequence, Sendable {
    let terminal: Terminal

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(terminal: terminal) }

    public struct AsyncIterator: AsyncIteratorProtocol {
        let terminal: Terminal
        var last: TerminalSize?

        public mutating func next() async throws -> TerminalSize? {
            let size = try await terminal.waitForSize(otherThan: last)
            last = size
            return size
        }
    }
}
