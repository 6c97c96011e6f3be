internal import UVCore
internal import Synchronization

/// An event loop: one thread's ready queue, timers and I/O, and the executor of the Swift code that runs on it.
///
/// **A turn** runs exactly the entries that were ready when it began, first in, first out; what they schedule runs in the next one. Timers that are due
/// are appended before a turn; I/O is polled between turns, at the latest after ``maximumTurnsBetweenPolls`` turns or
/// ``maximumTimeBetweenPolls``, whichever comes first.
///
/// **Threads.** A loop belongs to the thread that made it, or that runs it now; any thread may have one, and one at a time can run on each. Other
/// threads may call what says so (``callSoonThreadsafe(_:)``, `cancel()`, `LoopTask(on:)`, awaiting).
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
    private static let pollNanoseconds: UInt64 = 1_000_000

    // MARK: parts

    public let clock: Clock
    let number: UInt64
    /// Nil once the loop is closed.
    private(set) var uv: UVLoop?
    let timers: any TimerSource
    let inbox = Inbox()
    /// Memory that streams read into and queue in.
    let chunks = UVChunkPool(limit: EventLoop.bufferPoolLimit)
    private(set) var serialExecutor: LoopSerialExecutor!

    // MARK: the turn

    var ready = RingQueue<ReadyEntry>(capacity: 64)
    /// Timers whose deadline has come, until the turn that appends them.
    var dueTimers: [TimerSlot] = []
    /// Counts turns since the loop was made. Other threads read it, to say when they asked for something.
    var turn: UInt64 { turns.load(ordering: .relaxed) }
    private let turns = Atomic<UInt64>(0)
    /// The LoopTask whose code runs, if one does: see `callingTask`, which is exact.
    var current: AnyLoopTask?
    var runningJob = NativeTaskID.none
    /// The job that runs now has asked to go on, on the other one of the loop's executors.
    var hop: (UnownedJob, serial: Bool)?
    var capturesNextJob = false
    var capturedJob: UnownedJob?
    private var stopRequested = false

    /// Called once when the turn has run, before anything is polled.
    var atEndOfTurn: [any EndOfTurnWork] = []

    // MARK: tasks

    /// Unfinished tasks, each held until it is done; a task knows its index.
    private var table: [AnyLoopTask?] = []
    private var freeIndices: [Int] = []
    private(set) var unfinishedCount = 0
    /// Tasks that are suspended in foreign async code.
    private(set) var suspended: [NativeTaskID: AnyLoopTask] = [:]
    /// Descriptors, pool jobs and other loops that are waited for: a virtual clock does not jump over them.
    var outstanding = 0
    /// Native tasks that were started to run foreign code for a task of this loop.
    var foreignCalls = 0
    /// Plain Swift tasks that wait for something of this loop.
    var plainWaiters = 0
    private(set) var isShuttingDown = false

    // MARK: timers, reports

    var timerPool: [TimerSlot] = []
    var timerSequence: UInt64 = 0
    let reportLock = ThreadLock()
    var reportHandler: (@Sendable (LoopReport) throws -> Void)?
    let nameLock = ThreadLock()

    // MARK: life

    private enum Life { static let open: UInt8 = 0, running: UInt8 = 1, closed: UInt8 = 2 }
    private let life: Atomic<UInt8>
    private let ownerThread: Atomic<UInt>

    private static let onThisThread = ThreadLocal<EventLoop>()
    /// The loop for which this thread, which is not the loop's, makes a task at this moment.
    static let startsTaskFor = ThreadLocal<EventLoop>()
    private static let loopNumbers = Atomic<UInt64>(0)
    private static let taskNumbers = Atomic<UInt64>(0)

    static func nextTaskNumber() -> UInt64 { taskNumbers.add(1, ordering: .relaxed).newValue }

    /// A loop that belongs to the calling thread.
    ///
    /// - Throws: `LoopError` `.system` if the system gives no epoll or event descriptor (EMFILE, ENFILE, ENOMEM).
    public init(clock: Clock = .system) throws {
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
    var isCurrent: Bool { EventLoop.onThisThread.object === self }

    /// The calling thread may touch the loop: it runs it, or owns it while it is idle.
    var isOwner: Bool {
        if isCurrent { return true }
        return life.load(ordering: .acquiring) == Life.open && ownerThread.load(ordering: .relaxed) == ThisThread.id
    }

    public var isRunning: Bool { life.load(ordering: .acquiring) == Life.running }
    public var isClosed: Bool { life.load(ordering: .acquiring) == Life.closed }

    /// The loop's time. Callable from any thread with the system clock; on the loop's thread with a virtual one.
    public var now: LoopInstant { timers.now }

    /// The LoopTask whose code is calling on this loop's thread. Nil for callbacks, plain tasks, child tasks and other threads: identity is checked, because a
    /// plain task that is started inside a LoopTask sees all that the LoopTask sees.
    var callingTask: AnyLoopTask? {
        guard isCurrent else { return nil }
        if let current, current.nativeID == NativeTaskID.current { return current }
        if suspended.isEmpty && current?.cancellation.phase != .running { return nil }
        // Resumed by a job that is not the task's own, as default actors do.
        guard let task = suspended.removeValue(forKey: NativeTaskID.current) else { return nil }
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
    public func runUntilIdle() throws -> RunEnd {
        try drive(untilIdle: true)
    }

    /// Runs until `future` is done, and gives back its value or throws its error.
    ///
    /// - Throws: also `LoopError` `.stopped` if the loop was stopped before, `.deadlock` if on a virtual clock nothing can ever happen any more.
    public func runUntilComplete<Value>(_ future: some Awaitable<Value>) throws -> Value {
        guard future.loop === self else {
            throw LoopError.misuse("runUntilComplete", on: description, "the future belongs to another loop")
        }
        // Looked at first: the callback of a future that is done cannot be taken back, and would stop the run around this one.
        try requireRunnable()
        let callback = future.addDoneCallback { [unowned self] _ in stop() }
        defer { future.removeDoneCallback(callback) }
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

    /// Ends the run after the present turn; before a run, ends the next one after its first turn. From another thread it is posted.
    public func stop() {
        if isOwner {
            stopRequested = true
        } else {
            // Refused only by a closed loop, which does not run.
            _ = inbox.post(.call { [self] in stopRequested = true })
        }
    }

    private func drive(untilIdle: Bool) throws -> RunEnd {
        let uv = try enter()
        defer { leave() }
        repeat {
            if !poll(uv, untilIdle: untilIdle) { return .idle }
            let began = UVLoop.hrtime()
            var turns = 0
            repeat {
                runTurn()
                turns += 1
            } while !ready.isEmpty && !stopRequested && turns < EventLoop.maximumTurnsBetweenPolls
                && UVLoop.hrtime() &- began < EventLoop.pollNanoseconds
        } while !stopRequested
        return .stopped
    }

    private func requireRunnable() throws {
        if let other = EventLoop.current {
            throw LoopError.misuse("run", on: description, other === self ? "it is running already" : "\(other) runs on this thread")
        }
    }

    private func enter() throws -> UVLoop {
        try requireRunnable()
        guard life.compareExchange(expected: Life.open, desired: Life.running, ordering: .acquiringAndReleasing).exchanged, let uv else {
            if isClosed { throw LoopError(.closed, "run", on: description, "the loop is closed") }
            throw LoopError.misuse("run", on: description, "it is running on another thread")
        }
        ownerThread.store(ThisThread.id, ordering: .relaxed)
        EventLoop.onThisThread.set(self)
        return uv
    }

    private func leave() {
        stopRequested = false
        EventLoop.onThisThread.set(nil)
        life.store(Life.open, ordering: .releasing)
    }

    /// Looks for I/O, posts and timers, and waits for them if nothing is ready. False: idle, and that is what was asked for.
    private func poll(_ uv: UVLoop, untilIdle: Bool) -> Bool {
        if !ready.isEmpty || stopRequested {
            uv.run(.noWait)
            return true
        }
        if clock == .system && !untilIdle {
            timers.collectDue(timerIsDue)
            uv.run(hasWork ? .noWait : .once)
            return true
        }
        uv.run(.noWait)
        timers.collectDue(timerIsDue)
        if hasWork { return true }
        if outstanding > 0 || suspended.count + foreignCalls > plainWaiters {
            // Something outside will wake us. A foreign await that in turn waits for this loop (a child task that sleeps here) is not outside.
            uv.run(.once)
        } else if timers.armed > 0 {
            if !timers.jump() { uv.run(.once) }
        } else if untilIdle && suspended.isEmpty && foreignCalls == 0 && plainWaiters == 0 {
            return false
        } else {
            uv.run(.once)
        }
        return true
    }

    private var hasWork: Bool { !ready.isEmpty || !dueTimers.isEmpty }

    private func runTurn() {
        timers.collectDue(timerIsDue)
        if !dueTimers.isEmpty { appendDueTimers() }
        turns.store(turn &+ 1, ordering: .relaxed)
        var left = ready.count
        while left > 0, let entry = ready.popFirst() {
            left -= 1
            execute(entry)
        }
        if !atEndOfTurn.isEmpty { endTurn() }
    }

    private func endTurn() {
        // None of them asks for another one: what they do comes from the loop's callers, who have had their turn.
        for work in atEndOfTurn { work.turnEnded() }
        atEndOfTurn.removeAll(keepingCapacity: true)
    }

    private func execute(_ entry: ReadyEntry) {
        switch entry {
        case .wake(let task): resume(task)
        case .taskJob(let job): runForeign(job, serial: false)
        case .serialJob(let job): runForeign(job, serial: true)
        case .timer(let timer): fire(timer)
        case .handle(let handle): handle.run()
        case .doneCallback(let callback, let future): callback.run(future)
        case .call(let body), .immediate(let body): body()
        }
    }

    /// Resumes a task of ours: its continuation enqueues its job, which is taken as a hop and runs here.
    private func resume(_ task: AnyLoopTask) {
        guard let resumption = task.resumption.take() else { return }
        task.cancellation.resume()
        current = task
        runningJob = task.nativeID
        resumption.resume()
        runHops()
        runningJob = .none
        leaveCurrent()
    }

    /// A job that did not come from a wake-up of ours: a first step, a plain task, or a task of ours that comes back from foreign code.
    private func runForeign(_ job: UnownedJob, serial: Bool) {
        if !suspended.isEmpty, let task = suspended.removeValue(forKey: NativeTaskID(job)) {
            task.cancellation.resume()
            current = task
        }
        run(job, serial: serial)
        leaveCurrent()
    }

    /// The code of the current task has left the thread. If it is neither parked nor done, it waits in foreign code.
    private func leaveCurrent() {
        guard let task = current else { return }
        current = nil
        guard task.cancellation.phase == .running else { return }
        task.cancellation.enterForeign()
        suspended[task.nativeID] = task
        if task.cancellation.pending != nil { task.native?.cancel() }
    }

    private func drainInbox() {
        inbox.drain { entry in
            if case .immediate(let body) = entry { body() } else { ready.append(entry) }
        }
    }

    // MARK: starts

    /// How the first step of a new task comes to run.
    enum Start {
        case inNextTurn
        /// Its job is captured, and runs inside the initialiser.
        case eager
        /// The task is made on another thread.
        case outside
    }

    /// Before the native task is made, which enqueues its job.
    func prepareStart(eager: Bool) -> Start {
        if !isOwner {
            EventLoop.startsTaskFor.set(self)
            return .outside
        }
        guard eager && isCurrent else { return .inNextTurn }
        capturesNextJob = true
        return .eager
    }

    func finishStart(_ start: Start) {
        switch start {
        case .inNextTurn: return
        case .outside: EventLoop.startsTaskFor.set(nil)
        case .eager:
            guard let job = capturedJob.take() else { return }
            let outer = current
            current = nil
            run(job, serial: false)
            leaveCurrent()
            current = outer
        }
    }

    // MARK: tasks

    /// Tasks of this loop that are not done, oldest first. On the loop's thread.
    public var unfinishedTasks: [AnyLoopTask] {
        table.compactMap(\.self).sorted { $0.number < $1.number }
    }

    /// False if the loop is closed.
    func add(_ task: AnyLoopTask) -> Bool {
        if isClosed { return false }
        if isOwner {
            insert(task)
            return true
        }
        return inbox.post(.immediate { [self] in insert(task) })
    }

    private func insert(_ task: AnyLoopTask) {
        if let index = freeIndices.popLast() {
            task.tableIndex = index
            table[index] = task
        } else {
            task.tableIndex = table.count
            table.append(task)
        }
        unfinishedCount += 1
        if isShuttingDown {
            // It gets as far as its first wait, like everyone else who is cancelled there.
            ready.append(.call { [self] in ready.append(.call { [self] in cancelForShutdown(task) }) })
        }
    }

    func remove(_ task: AnyLoopTask) {
        guard task.tableIndex >= 0 else { return }
        table[task.tableIndex] = nil
        freeIndices.append(task.tableIndex)
        task.tableIndex = -1
        unfinishedCount -= 1
        if isShuttingDown && unfinishedCount == 0 { stopRequested = true }
    }

    private func cancelForShutdown(_ task: AnyLoopTask) {
        task.requestCancel(CancelOrigin(.shutdown, message: "the event loop shuts down", file: task.file, line: task.line, requester: nil, turn: turn))
    }

    /// Cancels every unfinished task once, those that are born meanwhile too, and runs until all are done; says who refuses for longer than `grace`.
    ///
    /// - Returns: the tasks that were still not done when the grace was over.
    @discardableResult
    func cancelAllAndRun(grace: Duration) throws -> [AnyLoopTask] {
        if unfinishedCount == 0 { return [] }
        isShuttingDown = true
        defer { isShuttingDown = false }
        for task in unfinishedTasks { cancelForShutdown(task) }
        let timer = startTimer(at: now.advanced(by: grace), .call { [unowned self] in stopRequested = true })
        let end = try drive(untilIdle: clock == .virtual)
        stopTimer(timer)
        let left = unfinishedTasks
        for task in left {
            report(
                LoopReport(
                    end == .idle
                        ? "a task that was cancelled at shutdown waits for something that can never happen"
                        : "a task refuses its cancellation at shutdown",
                    task: task.name, created: "\(task.file):\(task.line)"))
        }
        return left
    }

    // MARK: closing

    /// Cancels what is unfinished and waits for it up to `grace`, refuses posts from then on, closes every handle and awaits its close. Idempotent.
    ///
    /// - Returns: what others had left open, by libuv's type name.
    /// - Throws: `LoopError` `.misuse` while the loop runs, or on another thread than its owner's.
    @discardableResult
    public func close(grace: Duration = .seconds(10)) throws -> [String: Int] {
        if isClosed { return [:] }
        guard isOwner, EventLoop.current == nil else {
            throw LoopError.misuse("close", on: description, isRunning ? "it is running: stop it first" : "called on another thread, or inside a running loop")
        }
        return closeNow(abandoning: try cancelAllAndRun(grace: grace))
    }

    /// Closes a loop whose tasks have ended, but for those that refused to.
    @discardableResult
    func closeNow(abandoning refusing: [AnyLoopTask]) -> [String: Int] {
        // What was posted before this is taken, what comes later is refused.
        inbox.close()
        drainInbox()
        for task in refusing { task.abandon() }
        // Tasks that came with the last posts never begin.
        for task in unfinishedTasks { cancelForShutdown(task) }
        runLastTurns()
        // What is left has been announced, and its start came too late to be accepted; or it refuses like those before.
        for task in unfinishedTasks { task.abandon() }
        runLastTurns()
        return closeHandles()
    }

    /// Turns outside of a run, for the callbacks of what ended with the loop.
    private func runLastTurns() {
        EventLoop.onThisThread.set(self)
        for _ in 0..<EventLoop.maximumTurnsBetweenPolls where !ready.isEmpty { runTurn() }
        EventLoop.onThisThread.set(nil)
    }

    @discardableResult
    private func closeHandles() -> [String: Int] {
        inbox.close()
        timers.close()
        for timer in timerPool { timers.dispose(timer) }
        timerPool.removeAll()
        var left: [String: Int] = [:]
        if let uv {
            left = uv.openHandles()
            left["async"] = left["async"].flatMap { $0 > 1 ? $0 - 1 : nil }
            uv.closeAllHandles()
            while !uv.close() { uv.run(.once) }
        }
        uv = nil
        ready.removeAll()
        life.store(Life.closed, ordering: .releasing)
        return left
    }
}

/// Who has something to do when a turn has run.
protocol EndOfTurnWork: AnyObject {
    func turnEnded()
}

/// A variable that two closures share.
private final class Box<Content> {
    var content: Content
    init(_ content: Content) { self.content = content }
}
