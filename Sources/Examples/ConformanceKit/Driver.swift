import AsyncUV

/// Runs programs.
public enum Driver {
    /// After so many runs of the loop a program counts as stuck.
    private static let maximumRuns = 20

    /// Runs a program on a loop of its own with a virtual clock, on the calling thread.
    ///
    /// - Parameter isolated: its tasks are isolated to a global actor on the loop.
    /// - Throws: `LoopError` if the system gives no loop, or if a loop runs on this thread.
    public static func run(_ program: Program, isolated: Bool) throws -> Run {
        let loop = try EventLoop(clock: .virtual)
        // Programs leave errors unfetched on purpose.
        loop.setReportHandler { _ in }
        let interpreter = try Interpreter(program, on: loop, isolated: isolated)
        let outcome =
            if isolated {
                try ProgramActor.$loop.withValue(loop) { try run(interpreter, program, loop) }
            } else {
                try run(interpreter, program, loop)
            }
        return Run(trace: interpreter.trace, outcome: outcome)
    }

    private static func run(_ interpreter: Interpreter, _ program: Program, _ loop: EventLoop) throws -> Run.Outcome {
        let outcome = try runToItsEnd(interpreter, program, loop)
        // What a stuck program does while its loop closes is no part of its run.
        interpreter.isFrozen = true
        try loop.close()
        return outcome
    }

    private static func runToItsEnd(_ interpreter: Interpreter, _ program: Program, _ loop: EventLoop) throws -> Run.Outcome {
        let main = interpreter.spawn("main", program.main)
        var restIsCancelled = false
        for _ in 0..<maximumRuns {
            if interpreter.unfinished.isEmpty { return .finished }
            if main.isDone && !restIsCancelled {
                restIsCancelled = true
                for task in interpreter.unfinished { task.cancel() }
            }
            if try loop.runUntilIdle() == .idle {
                interpreter.logDeadlock()
                for task in interpreter.unfinished { task.cancel() }
            }
        }
        return .stuck
    }
}
