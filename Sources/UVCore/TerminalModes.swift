internal import CLibUV
internal import Glibc
internal import Synchronization

/// The system's calls about terminals.
public enum Terminals {
    public static func isTerminal(_ number: Int32) -> Bool { isatty(number) == 1 }

    public static func size(_ number: Int32) throws(UVError) -> (columns: Int, rows: Int) {
        var size = winsize()
        try Sockets.check(unsafe ioctl(number, UInt(TIOCGWINSZ), &size), "ioctl TIOCGWINSZ")
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// The processes in the terminal's foreground get SIGWINCH, if that changes it.
    public static func setSize(_ number: Int32, columns: Int, rows: Int) throws(UVError) {
        var size = winsize(ws_row: UInt16(clamping: rows), ws_col: UInt16(clamping: columns), ws_xpixel: 0, ws_ypixel: 0)
        try Sockets.check(unsafe ioctl(number, UInt(TIOCSWINSZ), &size), "ioctl TIOCSWINSZ")
    }

    /// Such as `/dev/pts/3`.
    public static func name(_ number: Int32) throws(UVError) -> String {
        var name = [CChar](repeating: 0, count: 256)
        let result = unsafe ttyname_r(number, &name, name.count)
        if result != 0 { throw UVError(code: -result, call: "ttyname_r") }
        return text(name)
    }

    /// The controlling side of a new terminal: non-blocking, closed on exec.
    public static func openController() throws(UVError) -> Descriptor {
        let number = clibuv_posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
        try Sockets.check(number, "posix_openpt")
        let controller = Descriptor(owning: number)
        try Sockets.check(clibuv_grantpt(number), "grantpt")
        try Sockets.check(clibuv_unlockpt(number), "unlockpt")
        return controller
    }

    /// The name of the terminal that a controlling side controls.
    public static func controlledName(_ controller: Int32) throws(UVError) -> String {
        var name = [CChar](repeating: 0, count: 256)
        let result = unsafe clibuv_ptsname_r(controller, &name, name.count)
        if result != 0 { throw UVError(code: -abs(result), call: "ptsname_r") }
        return text(name)
    }

    private static func text(_ name: [CChar]) -> String {
        String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// How terminals treat what is typed, while somebody wants that to be different; and how they are put back, whatever ends the process, SIGKILL excepted.
///
/// A terminal belongs to all who have it open, so this is the process's: for each terminal the modes that are wanted, the last of which holds, and what was found
/// before the first.
public enum TerminalModes {
    public enum Mode: Sendable {
        /// Every byte as it comes: no lines, no echo, no signals, output as it is.
        case raw
        /// Every byte as it comes, without echo; Control-C and the like are signals, and output is as usual.
        case cbreak
        /// Lines, without echo.
        case noEcho
    }

    private struct Slot {
        var device: dev_t
        var wanted: [(token: UInt64, mode: Mode)]
    }

    private static let lock = ThreadLock()
    // Behind the lock.
    nonisolated(unsafe) private static var slots = [Slot?](repeating: nil, count: Restoring.capacity)
    nonisolated(unsafe) private static var tokens: UInt64 = 0

    /// Sets a mode; what it returns is for `leave`. A process in the background is stopped by that (SIGTTOU), until it is in the foreground.
    public static func enter(_ mode: Mode, _ terminal: Int32) throws(UVError) -> UInt64 {
        try lock.withLock { () throws(UVError) -> UInt64 in
            var status = stat()
            try Sockets.check(unsafe fstat(terminal, &status), "fstat")
            let known = unsafe slots.firstIndex { $0?.device == status.st_rdev }
            let index: Int
            if let known {
                index = known
            } else {
                index = try open(terminal, status.st_rdev)
            }
            do throws(UVError) {
                try set(mode, index)
            } catch {
                if known == nil { close(index) }
                throw error
            }
            unsafe tokens += 1
            unsafe slots[index]?.wanted.append((tokens, mode))
            return unsafe tokens
        }
    }

    /// Ends a mode, whichever the order: the last one that is still wanted holds, or what was there before.
    public static func leave(_ token: UInt64) {
        lock.withLock {
            for index in unsafe slots.indices {
                guard let place = unsafe slots[index]?.wanted.firstIndex(where: { $0.token == token }) else { continue }
                unsafe slots[index]?.wanted.remove(at: place)
                if let last = unsafe slots[index]?.wanted.last {
                    // Fails on a terminal that is gone, which has no modes.
                    try? set(last.mode, index)
                } else {
                    Restoring.restore(index)
                    close(index)
                }
            }
        }
    }

    private static func open(_ terminal: Int32, _ device: dev_t) throws(UVError) -> Int {
        guard let index = unsafe slots.firstIndex(where: { $0 == nil }) else { throw UVError(code: -EMFILE, call: "tcsetattr") }
        var found = termios()
        try Sockets.check(unsafe tcgetattr(terminal, &found), "tcgetattr")
        let copy = try Pipes.duplicate(terminal)
        let isFirst = unsafe slots.allSatisfy { $0 == nil }
        unsafe slots[index] = Slot(device: device, wanted: [])
        Restoring.publish(index, copy.release(), found)
        if isFirst { Restoring.install() }
        return index
    }

    private static func close(_ index: Int) {
        unsafe slots[index] = nil
        if unsafe slots.allSatisfy({ $0 == nil }) { Restoring.uninstall() }
        Restoring.withdraw(index)
    }

    private static func set(_ mode: Mode, _ index: Int) throws(UVError) {
        var wanted = Restoring.found(index)
        switch mode {
        case .raw: unsafe cfmakeraw(&wanted)
        case .cbreak: wanted.c_lflag &= ~tcflag_t(ICANON | ECHO)
        case .noEcho: wanted.c_lflag &= ~tcflag_t(ECHO)
        }
        if mode != .noEcho {
            unsafe withUnsafeMutableBytes(of: &wanted.c_cc) { characters in
                // A read returns with the first byte, and does not wait for more.
                unsafe characters[Int(VMIN)] = 1
                unsafe characters[Int(VTIME)] = 0
            }
        }
        // Now, not when the output is out: that would wait for somebody who has stopped it. What was typed before stays.
        while true {
            let result = unsafe tcsetattr(Restoring.descriptor(index), TCSANOW, &wanted)
            if result < 0 && errno == EINTR { continue }
            try Sockets.check(result, "tcsetattr")
            return
        }
    }

    /// Puts all terminals back as they were found. May be called in a signal handler.
    static func restoreAll() { Restoring.restoreAll() }

    /// Before the first signal handler that may call `restoreAll`.
    static func prepare() { Restoring.prepare() }
}

/// The part that signal handlers touch: memory that is there for the process's life, atomics, and calls that are allowed there.
private enum Restoring {
    static let capacity = 16
    // SAFETY: allocated once and never freed. What was found is written before the descriptor is published, and not changed until it is withdrawn and no handler
    // looks any more.
    nonisolated(unsafe) private static let descriptors: UnsafeMutablePointer<Atomic<Int32>> = {
        let memory = UnsafeMutablePointer<Atomic<Int32>>.allocate(capacity: capacity)
        for index in 0..<capacity { unsafe (memory + index).initialize(to: Atomic(-1)) }
        return unsafe memory
    }()
    nonisolated(unsafe) private static let originals = unsafe memory(of: termios())
    nonisolated(unsafe) private static let stopped = unsafe memory(of: termios())
    nonisolated(unsafe) private static let previous = unsafe memory(of: sigaction(), count: 65)
    private static let lookers = Atomic<Int>(0)
    private static let isUsed = Atomic<Bool>(false)

    private static func memory<Value>(of value: Value, count: Int = capacity) -> UnsafeMutablePointer<Value> {
        let memory = UnsafeMutablePointer<Value>.allocate(capacity: count)
        unsafe memory.initialize(repeating: value, count: count)
        return unsafe memory
    }

    static func prepare() { _ = isUsed.load(ordering: .relaxed) }

    static func descriptor(_ index: Int) -> Int32 { unsafe descriptors[index].load(ordering: .acquiring) }
    static func found(_ index: Int) -> termios { unsafe originals[index] }

    static func publish(_ index: Int, _ descriptor: Int32, _ found: termios) {
        unsafe originals[index] = found
        unsafe descriptors[index].store(descriptor, ordering: .sequentiallyConsistent)
        isUsed.store(true, ordering: .releasing)
    }

    static func withdraw(_ index: Int) {
        let number = unsafe descriptors[index].exchange(-1, ordering: .sequentiallyConsistent)
        // A handler on another thread may be about to use it; it takes microseconds. One on this thread has ended.
        while lookers.load(ordering: .sequentiallyConsistent) > 0 { sched_yield() }
        Glibc.close(number)
    }

    // MARK: in handlers

    static func restoreAll() {
        guard isUsed.load(ordering: .acquiring) else { return }
        lookers.add(1, ordering: .sequentiallyConsistent)
        for index in 0..<capacity { restore(index) }
        lookers.subtract(1, ordering: .sequentiallyConsistent)
    }

    static func restore(_ index: Int) { unsafe apply(originals + index, index) }

    private static func apply(_ attributes: UnsafePointer<termios>, _ index: Int) {
        let number = unsafe descriptors[index].load(ordering: .sequentiallyConsistent)
        if number < 0 { return }
        // In the background the terminal is somebody else's, and set as that one wants it. One that does not control this session has no foreground.
        let foreground = tcgetpgrp(number)
        if foreground >= 0 && foreground != getpgrp() { return }
        var stops = sigset_t(), before = sigset_t()
        unsafe sigemptyset(&stops)
        unsafe sigaddset(&stops, SIGTTOU)
        unsafe pthread_sigmask(SIG_BLOCK, &stops, &before)
        // Fails on a terminal that is gone.
        _ = unsafe tcsetattr(number, TCSANOW, attributes)
        unsafe pthread_sigmask(SIG_SETMASK, &before, nil)
    }

    // MARK: signals

    /// Their default is to end the process. Taken only where that is their action now.
    private static let requests: [Int32] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM]
    /// Crashes. Taken from whoever has them, and given back before they go on.
    private static let crashes: [Int32] = [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV]

    private typealias Handler = @convention(c) (Int32, UnsafeMutablePointer<siginfo_t>?, UnsafeMutableRawPointer?) -> Void

    private static let onEnd: Handler = { signal, information, _ in
        let saved = errno
        restoreAll()
        unsafe sigaction(signal, previous + Int(signal), nil)
        // A fault of an instruction comes again when it is repeated, as it was; everything else is sent again.
        let isFault = signal == SIGILL || signal == SIGBUS || signal == SIGFPE || signal == SIGSEGV
        let code = unsafe information?.pointee.si_code ?? 0
        if !(isFault && code > 0) { raise(signal) }
        errno = saved
    }

    private static let onStop: Handler = { signal, _, _ in
        let saved = errno
        lookers.add(1, ordering: .sequentiallyConsistent)
        for index in 0..<capacity {
            let number = unsafe descriptors[index].load(ordering: .sequentiallyConsistent)
            if number < 0 { continue }
            unsafe tcgetattr(number, stopped + index)
            restore(index)
        }
        // Stops here, by the default action, and goes on with SIGCONT.
        var own = sigaction(), stop = sigset_t()
        unsafe sigaction(signal, previous + Int(signal), &own)
        raise(signal)
        unsafe sigemptyset(&stop)
        unsafe sigaddset(&stop, signal)
        unsafe pthread_sigmask(SIG_UNBLOCK, &stop, nil)
        unsafe sigaction(signal, &own, nil)
        for index in 0..<capacity { unsafe apply(stopped + index, index) }
        lookers.subtract(1, ordering: .sequentiallyConsistent)
        errno = saved
    }

    private static let onExit: @convention(c) () -> Void = { restoreAll() }

    private static let atExit: Bool = { atexit(onExit) == 0 }()

    static func install() {
        _ = atExit
        // Touched here first, so that no handler is the one to initialise them.
        unsafe _ = (stopped, previous)
        for signal in requests { unsafe take(signal, onEnd, always: false) }
        for signal in crashes { unsafe take(signal, onEnd, always: true) }
        unsafe take(SIGTSTP, onStop, always: false)
    }

    private static func take(_ signal: Int32, _ handler: Handler, always: Bool) {
        var current = sigaction()
        guard unsafe sigaction(signal, nil, &current) == 0, always || isDefault(current) else { return }
        unsafe previous[Int(signal)] = current
        var action = sigaction()
        unsafe action.__sigaction_handler.sa_sigaction = handler
        action.sa_flags = SA_SIGINFO | SA_RESTART
        unsafe sigaction(signal, &action, nil)
    }

    static func uninstall() {
        for signal in requests + crashes + [SIGTSTP] {
            var current = sigaction()
            // Whoever has set another one since keeps it.
            guard unsafe sigaction(signal, nil, &current) == 0, isOurs(current) else { continue }
            unsafe sigaction(signal, previous + Int(signal), nil)
        }
    }

    private static func isDefault(_ action: sigaction) -> Bool { unsafe action.__sigaction_handler.sa_handler == nil }

    private static func isOurs(_ action: sigaction) -> Bool {
        let handler = unsafe unsafeBitCast(action.__sigaction_handler.sa_sigaction, to: UInt.self)
        return unsafe handler == unsafeBitCast(onEnd, to: UInt.self) || handler == unsafeBitCast(onStop, to: UInt.self)
    }
}
