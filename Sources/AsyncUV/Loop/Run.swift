extension EventLoop {
    /// Makes a loop on this thread, runs `main` on it as its first task, and closes it: a program's main function.
    ///
    /// When `main` has ended, what still runs is cancelled once and awaited, and so are tasks that are born meanwhile. Whoever refuses for longer than `grace` is
    /// named in a report and left behind.
    ///
    /// - Returns: what `main` returned.
    /// - Throws: what `main` threw; `LoopError` `.misuse` inside a running loop.
    public static func run<Value: Sendable>(
        clock: Clock = .system,
        grace: Duration = .seconds(10),
        file: String = #fileID,
        line: Int = #line,
        _ main: @escaping @Sendable () async throws -> Value
    ) throws -> Value {
        if let running = EventLoop.current {
            throw LoopError.misuse("EventLoop.run", "\(running) runs on this thread already: start a LoopTask on it instead")
        }
        let loop = try EventLoop(clock: clock)
        let task = LoopTask(name: "main", on: loop, file: file, line: line) { try await main() }
        let result = Result { try loop.runUntilComplete(task) }
        try loop.close(grace: grace)
        return try result.get()
    }
}
