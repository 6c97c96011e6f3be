internal import CLibUV
internal import Glibc
internal import Synchronization

/// Watches a few signals for one loop. A set of flag bits and one event descriptor, not libuv's pipe: that is 64 KiB, and in a flood of one signal the others are lost.
///
/// The first arrival of a watched signal calls `onSignal` on the loop. A second arrival of the same one ends the process at once, by the signal's default action, even
/// if the loop is stalled.
public final class SignalWatch {
    private let signals: [Int32]
    private let previous: [sigaction]
    private var poll: UVPoll?

    /// Nil if another watch is there already: a signal has one owner in a process.
    ///
    /// Only signals whose disposition is the default one are taken: whoever has set another keeps it.
    public init?(loop: UVLoop, signals: [Int32], onSignal: @escaping (Int32) -> Void) throws(UVError) {
        guard SignalState.isTaken.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged else { return nil }
        // Touched here first, so that the handler never is the one to initialise it.
        SignalState.pending.store(0, ordering: .relaxed)
        SignalState.seen.store(0, ordering: .relaxed)
        TerminalModes.prepare()
        if SignalState.descriptor.load(ordering: .relaxed) < 0 {
            let descriptor = clibuv_eventfd()
            guard descriptor >= 0 else {
                SignalState.isTaken.store(false, ordering: .releasing)
                throw UVError(code: -errno, call: "eventfd")
            }
            // Kept for the process's life: a handler that runs late must never write into somebody else's descriptor.
            SignalState.descriptor.store(descriptor, ordering: .relaxed)
        }
        var taken: [Int32] = []
        var before: [sigaction] = []
        for signal in signals {
            var current = sigaction()
            guard unsafe sigaction(signal, nil, &current) == 0, unsafe current.__sigaction_handler.sa_handler == nil else { continue }
            var action = sigaction()
            unsafe action.__sigaction_handler.sa_handler = SignalState.handler
            action.sa_flags = SA_RESTART
            unsafe sigaction(signal, &action, nil)
            taken.append(signal)
            before.append(current)
        }
        self.signals = taken
        previous = before
        do {
            let poll = try UVPoll(loop: loop, descriptor: SignalState.descriptor.load(ordering: .relaxed)) { _ in
                var count: UInt64 = 0
                unsafe _ = read(SignalState.descriptor.load(ordering: .relaxed), &count, 8)
                let bits = SignalState.pending.exchange(0, ordering: .acquiringAndReleasing)
                for signal in taken where bits & SignalState.bit(signal) != 0 { onSignal(signal) }
            }
            self.poll = poll
            try poll.start(.readable)
        } catch {
            poll?.close()
            poll = nil
            giveBack()
            throw error
        }
    }

    /// Gives the signals back to the dispositions that they had.
    public func stop() {
        guard let poll else { return }
        self.poll = nil
        poll.close()
        giveBack()
    }

    private func giveBack() {
        for (signal, action) in zip(signals, previous) {
            var action = action
            unsafe sigaction(signal, &action, nil)
        }
        SignalState.isTaken.store(false, ordering: .releasing)
    }

    /// Ends the process by the default action of a signal, as the signal itself would have, but with what was printed written out.
    public static func endProcess(by signal: Int32) {
        _ = fflush(nil)
        raiseDefault(signal)
    }

    fileprivate static func raiseDefault(_ signal: Int32) {
        TerminalModes.restoreAll()
        var action = sigaction()
        unsafe action.__sigaction_handler.sa_handler = nil
        unsafe sigaction(signal, &action, nil)
        raise(signal)
    }
}

/// What the handler touches: atomics and one descriptor, nothing else is allowed there.
private enum SignalState {
    static let isTaken = Atomic<Bool>(false)
    static let descriptor = Atomic<Int32>(-1)
    static let pending = Atomic<UInt64>(0)
    static let seen = Atomic<UInt64>(0)

    static func bit(_ signal: Int32) -> UInt64 { 1 << UInt64(signal & 63) }

    static let handler: @convention(c) (Int32) -> Void = { signal in
        let bit = SignalState.bit(signal)
        let saved = errno
        if SignalState.seen.bitwiseOr(bit, ordering: .acquiringAndReleasing).oldValue & bit != 0 {
            SignalWatch.raiseDefault(signal)
        } else {
            SignalState.pending.bitwiseOr(bit, ordering: .acquiringAndReleasing)
            var one: UInt64 = 1
            unsafe _ = write(SignalState.descriptor.load(ordering: .relaxed), &one, 8)
        }
        errno = saved
    }
}
