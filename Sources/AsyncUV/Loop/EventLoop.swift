internal import UVCore
internal import Synchronization

/// An event loop: one thread's ready queue, timers and I/O, and the executor of the Swift code that runs on it.
///
/// **A turn** runs exactly the entries that were ready when it began, first in, first out; what they schedule runs in the next one. Timers that are due
/// are appended before a turn; I/O is polled between turns, at the latest after ``maximumTurnsBetweenPolls`` turns or
/// ``maximumTimeBetweenPolls``, whichever comes first.
///
/// **Threads.** A loop belongs to the thread that made it, or that runs it now; any thread may have one, and one at a time can run on each. Other
/// threads may call what says so (``callSoonThreadsafe(_:)``, `cancel()`, `LoopTask(on:)`, awaiting). A loop that is idle belongs to the thread that made or ran it last: when
/// another one is about to run it, that thread must not use it, except by ``callSoonThreadsafe(_:)``, until the other does (``isRunning``).
///
/// **As an executor.** The loop itself is a `TaskExecutor`; ``unownedExecutor`` pins an actor to it.
public final class EventLoop: @unchecked Sendable, CustomStringConvertible {
    // Sendable: everything below is touched on the owner's thread only, unless it is atomic or has a lock (inbox, report handler, names).

    /// The clock that a loop's timers run on.
    public enum Clock: Sendable {
        /// The system's monotonic clock, in whole milliseconds.
        case system
        /// Starts at 0, stands still while anything can run or is awaited from outside the loop, and then jumps to the next deadline. For tests.
        case virtual
    }

    /// Why ``runUntilIdle()`` returned.
    public enum RunEnd: Sendable {
        case stopped
        /// Nothing is ready, no timer is armed, and nothing outside the loop is being waited for.
        case idle
    }

    /// While entries are ready, I/O is polled after this many turns…
    public static let maximumTurnsBetweenPolls = 64
    /// …or after this time, if that comes first. A single entry that runs longer is not interrupted.
    public static let maximumTimeBetweenPolls = Duration.milliseconds(1)
    static let pollNanoseconds: UInt64 = 1_000_000

    // MARK: parts

    /// What its timers run on.
    public let clock: Clock
    let number: UInt64
    /// Nil once the loop is closed.
    var uv: UVLoop?
    let timers: any TimerSource
    let inbox = Inbox()
    /// What its connections and listeners go through.
    package let network: any Network
    /// What names are looked up by; ``SystemResolver/shared`` unless set. On the loop's thread.
    public lazy var resolver: any Resolver = network.resolver
    /// Memory that streams read into and queue in.
    let chunks = UVChunkPool(limit: EventLoop.bufferPoolLimit)
    /// Memory for the datagrams of one system call: see `datagramMemory`.
    var madeDatagramMemory: DatagramMemory?
    private(set) var serialExecutor: LoopSerialExecutor!

    /// What the bytes count against that streams have queued.
    var budgetAccount = BudgetAccount(.process)

    // MARK: the turn

    let ready = ReadyQueue()
    /// Timers whose deadline has come, until the turn that appends them.
    var dueTimers: [TimerSlot] = []
    /// Counts turns since the loop was made. Other threads read it, to say when they asked for something.
    var turn: UInt64 { turns.load(ordering: .relaxed) }
    let turns = Atomic<UInt64>(0)
    /// The LoopTask whose code runs, if one does: see `callingTask`, which is exact.
    var current: AnyLoopTask?
    var runningJob = NativeTaskID.none
    /// The job that runs now has asked to go on, on the other one of the loop's executors.
    var hop: (UnownedJob, serial: Bool)?
    var capturesNextJob = false
    var capturedJob: UnownedJob?
    var eagerDepth = 0
    var stopRequested = false

    /// Called once when the turn has run, before anything is polled.
    var atEndOfTurn: [any EndOfTurnWork] = []
    var endingTurn: [any EndOfTurnWork] = []

    /// Asked once, when the tasks of a loop that closes have ended.
    var atEndOfLoop: [any EndOfLoopWork] = []

    // MARK: tasks

    let unfinished = TaskTable()
    /// Tasks that are suspended in foreign async code.
    let suspended = SuspendedTasks()
    /// Descriptors, pool jobs and other loops that are waited for: a virtual clock does not jump over them.
    var outstanding = 0
    /// Waits for the network, which may be outside of the loop, or not.
    var networkWaits = 0
    /// Who waits for a descriptor of the program's own.
    var descriptorWaits: [DescriptorWait.Key: DescriptorWait] = [:]
    /// Native tasks that were started to run foreign code for a task of this loop.
    var foreignCalls = 0
    /// Plain Swift tasks that wait for something of this loop.
    var plainWaiters = 0
    /// Futures that somebody who is not of this loop waits for: who is to be told if the loop closes first.
    var outsideWaits: [UInt64: AnyFuture] = [:]
    var outsideWaitNumber: UInt64 = 0
    var isShuttingDown = false
    /// Requests that gathers are still to carry on; the last is the next.
    var cancelWork: [(AnyFuture, CancelOrigin)] = []
    var carriesCancels = false

    // MARK: timers, reports

    var timerPool: [TimerSlot] = []
    var timerSequence: UInt64 = 0
    let reportLock = ThreadLock()
    var reportHandler: (@Sendable (LoopReport) throws -> Void)?
    let nameLock = ThreadLock()

    // MARK: life

    enum Life { static let open: UInt8 = 0, running: UInt8 = 1, closed: UInt8 = 2 }
    let life: Atomic<UInt8>
    let ownerThread: Atomic<UInt>
    /// The system's name of the thread that runs it; 0: none does.
    private let runningThread = Atomic<UInt>(0)

    static let onThisThread = ThreadLocal<EventLoop>()
    /// The loop for which this thread, which is not the loop's, makes a task at this moment.
    static let startsTaskFor = ThreadLocal<EventLoop>()
    private static let loopNumbers = Atomic<UInt64>(0)
    private static let taskNumbers = Atomic<UInt64>(0)

    static func nextTaskNumber() -> UInt64 { taskNumbers.add(1, ordering: .relaxed).newValue }

    /// A loop that belongs to the calling thread.
    ///
    /// - Throws: `LoopError` `.system` if the system gives no epoll or event descriptor (EMFILE, ENFILE, ENOMEM).
    public convenience init(clock: Clock = .system) throws { try self.init(clock: clock, network: SystemNetwork.shared) }

    /// With a network of somebody else's.
    package init(clock: Clock, network: any Network) throws {
        self.network = network
        do {
            let uv = try UVLoop()
            self.uv = uv
            self.clock = clock
            number = EventLoop.loopNumbers.add(1, ordering: .relaxed).newValue
            life = Atomic(Life.open)
            ownerThread = Atomic(ThisThread.id)
            let fire = Box<(TimerSlot) -> Void> { _ in }
            switch clock {
            case .system: timers = SystemTimers(loop: uv) { fire.content($0) }
            case .virtual: timers = VirtualTimers()
            }
            serialExecutor = LoopSerialExecutor(loop: self)
            fire.content = { [unowned self] in timerIsDue($0) }
            inbox.open(wake: try UVAsync(loop: uv) { [unowned self] in drainInbox() })
        } catch {
            throw LoopError(error, "EventLoop", advice: "raise the limit of open descriptors (ulimit -n)")
        }
        ThisProcess.ignoreBrokenPipes()
    }

    /// Stands for the missing loop of a task that was created where there is none; closed from the start.
    static let none = EventLoop(closed: ())

    private init(closed: Void) {
        uv = nil
        network = SystemNetwork.shared
        clock = .virtual
        number = 0
        life = Atomic(Life.closed)
        ownerThread = Atomic(0)
        timers = VirtualTimers()
        serialExecutor = LoopSerialExecutor(loop: self)
    }

    deinit {
        // Nobody can hold a task or handle of it any more. Only the memory is left to give back.
        if life.load(ordering: .acquiring) == Life.open { closeHandles() }
    }

    public var description: String { "event loop \(number)" }

    // MARK: who and where

    /// The loop that runs on this thread; nil outside a running loop.
    public static var current: EventLoop? { onThisThread.object }

    static let noLoopAdvice = "no event loop runs here: call it from a LoopTask, inside EventLoop.run { … }, or name a loop (on:)"

    static func requireCurrent(_ operation: String) throws -> EventLoop {
        guard let loop = current else { throw LoopError.misuse(operation, noLoopAdvice) }
        return loop
    }

    /// The loop runs on the calling thread.
    var isCurrent: Bool { runningThread.load(ordering: .relaxed) == ThisThread.systemID }

    /// From here on, until `endRunning`, the loop is this thread's current one.
    func beginRunning() {
        runningThread.store(ThisThread.systemID, ordering: .relaxed)
        EventLoop.onThisThread.set(self)
    }

    func endRunning() {
        EventLoop.onThisThread.set(nil)
        runningThread.store(0, ordering: .relaxed)
    }

    /// The calling thread may touch the loop: it runs it, or owns it while it is idle.
    var isOwner: Bool {
        if isCurrent { return true }
        return life.load(ordering: .acquiring) == Life.open && ownerThread.load(ordering: .relaxed) == ThisThread.id
    }

    /// Some thread runs it at this moment. From any thread.
    public var isRunning: Bool { life.load(ordering: .acquiring) == Life.running }
    /// It is closed for good, and refuses everything. From any thread.
    public var isClosed: Bool { life.load(ordering: .acquiring) == Life.closed }

    /// The loop's time. Callable from any thread with the system clock; on the loop's thread with a virtual one.
    public var now: LoopInstant { timers.now }

    /// The LoopTask whose code is calling on this loop's thread. Nil for callbacks, plain tasks, child tasks and other threads: identity is checked, because a
    /// plain task that is started inside a LoopTask sees all that the LoopTask sees.
    var callingTask: AnyLoopTask? { isCurrent ? callingTaskHere : nil }

    /// The LoopTask whose code is calling, of whichever loop runs on this thread.
    static var callingTask: AnyLoopTask? { onThisThread.object?.callingTaskHere }

    /// `callingTask`, on the loop's thread.
    private var callingTaskHere: AnyLoopTask? {
        let native = NativeTaskID.current
        if let current, current.nativeID == native { return current }
        return taskThatCameBack(native)
    }

    /// One that was resumed by a job that is not its own, as default actors do.
    private func taskThatCameBack(_ native: NativeTaskID) -> AnyLoopTask? {
        if suspended.isEmpty && current?.cancellation.phase != .running { return nil }
        guard let task = suspended.take(native) else { return nil }
        leaveCurrent()
        task.cancellation.resume()
        current = task
        return task
    }

    // MARK: running

    /// Runs until ``stop()``.
    ///
    /// - Throws: `LoopError` `.misuse` if a loop runs on this thread already, or this one on another; `.closed`.
    public func runForever() throws {
        _ = try drive(untilIdle: false)
    }

    /// Runs until ``stop()``, or until nothing can happen any more by itself: nothing is ready, no timer is armed, nothing outside is waited for.
    ///
    /// - Returns: which of the two it was.
    /// - Throws: as ``runForever()``.
    public func runUntilIdle() throws -> RunEnd {
        try drive(untilIdle: true)
    }

    /// Runs until `future` is done, and gives back its value or throws its error.
    ///
    /// - Throws: as ``runForever()``; `.misuse` for a future of another loop; also `LoopError` `.stopped` if the loop was stopped before, `.deadlock` if on a virtual clock nothing can ever happen any more.
    public func runUntilComplete<Value>(_ future: some Awaitable<Value>) throws -> Value {
        guard future.loop === self else {
            throw LoopError.misuse("runUntilComplete", on: description, "the future belongs to another loop")
        }
        // Looked at first: the callback of a future that is done cannot be taken back, and would stop the run around this one.
        try requireRunnable()
        var isOver = false
        let callback = future.whenDone { [unowned self] _ in if !isOver { stop() } }
        defer {
            // Scheduled in the run's last turn it cannot be taken back, and would stop the next run.
            isOver = true
            future.removeDoneCallback(callback)
        }
        let end = try drive(untilIdle: clock == .virtual)
        if !future.isDone {
            if end == .idle {
                let names = unfinishedTasks.map(\.name).joined(separator: ", ")
                throw LoopError(.deadlock, "runUntilComplete", on: description, "nothing can run any more; unfinished: \(names)")
            }
            throw LoopError(.stopped, "runUntilComplete", on: description, "the loop was stopped before the future was done")
        }
        return try future.result()
    }

    /// Ends the run after the present turn; before a run, ends the next one after its first turn. From another thread it is posted. The cleaning up of ``close(grace:)`` and
    /// `EventLoop.run` is not cut short by it.
    public func stop() {
        if isOwner {
            stopRequested = true
        } else {
            // Refused only by a closed loop, which does not run.
            _ = inbox.post(.call { [self] in stopRequested = true })
        }
    }

}

/// A variable that two closures share.
private final class Box<Content> {
    var content: Content
    init(_ content: Content) { self.content = content }
}
