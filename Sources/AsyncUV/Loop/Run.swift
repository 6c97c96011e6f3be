internal import UVCore

/// A signal that ends a program.
public struct ProcessSignal: Hashable, Sendable, CustomStringConvertible {
    public let number: Int32

    /// SIGINT: Ctrl-C.
    public static let interrupt = ProcessSignal(number: 2)
    /// SIGTERM: what service managers send.
    public static let terminate = ProcessSignal(number: 15)
    /// SIGHUP: the terminal is gone.
    public static let hangup = ProcessSignal(number: 1)

    public var description: String {
        switch number {
        case 1: "SIGHUP"
        case 2: "SIGINT"
        case 15: "SIGTERM"
        default: "signal \(number)"
        }
    }
}

extension EventLoop {
    /// What `run` does when a signal has cancelled the main task and the main task has obeyed.
    public enum Interruption: Sendable {
        /// The process ends by the signal itself once the loop is closed, as a shell or service manager expects it to (status 128 + its number).
        case raiseSignal
        /// `run` throws `LoopError` `.interrupted`.
        case throwError
    }

    /// Makes a loop on this thread, runs `main` on it as its first task, and closes it: a program's main function.
    ///
    /// **Signals.** The first signal of `signals` cancels the main task, which may clean up, or refuse and return as if nothing had been. A second one of the same kind ends
    /// the process at once, whatever the loop is doing. Signals are watched only on the process's main thread, by one loop at a time, and only if nobody else handles them.
    ///
    /// **The main actor.** On the process's main thread the run serves the main actor, which nobody else could: `await MainActor.run { … }` works there. So does what comes to
    /// the main queue of Dispatch. Not in programs that are linked with `-static-stdlib`, and not while a loop runs on the main thread by ``runForever()`` and the like: there
    /// an `await` of the main actor never ends.
    ///
    /// **The end.** When `main` has ended, what still runs is cancelled once and awaited, and so are tasks that are born meanwhile. Whoever refuses for longer than `grace` is
    /// named in a report and left behind. What ``StandardStream`` has not written yet is written, in what is left of the grace.
    ///
    /// - Returns: what `main` returned.
    /// - Throws: what `main` threw; `LoopError` `.interrupted`, see above; `.misuse` inside a running loop.
    public static func run<Value: Sendable>(
        clock: Clock = .system,
        cancellingOn signals: [ProcessSignal] = [.interrupt],
        interruption: Interruption = .raiseSignal,
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
        let interrupt: Interrupt
        let mainActor: MainActorService?
        do {
            interrupt = try Interrupt(loop, task, signals, file: file, line: line)
            mainActor = try MainActorService.start(loop)
        } catch {
            task.cancel()
            try loop.close(grace: grace)
            throw error
        }
        let result = Result { try loop.runUntilComplete(task) }
        let refusing = try loop.cancelAllAndRun(grace: grace)
        interrupt.stop()
        mainActor?.stop()
        loop.closeNow(abandoning: refusing)
        if let signal = interrupt.obeyed {
            if interruption == .raiseSignal { SignalWatch.endProcess(by: signal.number) }
            throw LoopError(.interrupted, "EventLoop.run", on: "main", "ended by \(signal)")
        }
        return try result.get()
    }
}

/// The signals of a run, and what became of the main task after one.
private final class Interrupt {
    private let task: AnyLoopTask
    private var watch: SignalWatch?
    private var signal: ProcessSignal?

    init(_ loop: EventLoop, _ task: AnyLoopTask, _ signals: [ProcessSignal], file: String, line: Int) throws {
        self.task = task
        guard ThisThread.isMain, !signals.isEmpty, let uv = loop.uv else { return }
        do {
            watch = try SignalWatch(loop: uv, signals: signals.map(\.number)) { [unowned self, unowned loop] number in
                let signal = ProcessSignal(number: number)
                self.signal = self.signal ?? signal
                // As any other request: an entry of the next turn.
                loop.ready.append(
                    .call {
                        task.requestCancel(CancelOrigin(.signal, message: "\(signal)", file: file, line: line, requester: nil, turn: loop.turn))
                    })
            }
        } catch {
            throw LoopError(error, "EventLoop.run", advice: "raise the limit of open descriptors (ulimit -n)")
        }
    }

    func stop() {
        watch?.stop()
        watch = nil
    }

    /// The signal that ended the main task: it was cancelled by nobody else.
    var obeyed: ProcessSignal? {
        guard let signal, task.isCancelled, task.cancelling() <= 1 else { return nil }
        return signal
    }
}
