internal import UVCore

/// A ``LoopTask`` without the type of its result: its name, its state, its cancellation.
public class AnyLoopTask: AnyFuture, @unchecked Sendable {
    // Sendable: as AnyFuture; the name has a lock of its own.

    // In this order, which leaves no gaps: what is small stands behind what is not a multiple of eight bytes.
    /// Place in the loop's table of unfinished tasks.
    final var tableIndex: Int32 = -1
    /// Where the task stands and which requests there are; see the struct, whose methods call nothing that could come back here.
    @safe @exclusivity(unchecked)
    final var cancellation = CancellationState()
    /// Where the task was created.
    private final let lineNumber: UInt32
    final var line: Int { Int(lineNumber) }
    final let file: String
    /// How to end the wait that the task is in.
    final var undo = Undo.none
    /// The native task, from its first step on.
    final var nativeID = NativeTaskID.none
    /// Its age.
    final let number: UInt64
    /// Links of the one waiters' list that a parked task can be in.
    final var nextWaiter: AnyLoopTask?
    final var previousWaiter: AnyLoopTask?
    private final var givenName: String?
    final var resumption: Resumption?

    /// - Parameter loop: by default the caller's. Where there is none, the task gets one that is closed: see `announce`.
    @usableFromInline
    init(on loop: EventLoop?, name: String?, file: String, line: Int) {
        givenName = name
        number = EventLoop.nextTaskNumber()
        self.file = file
        lineNumber = UInt32(clamping: line)
        super.init(loop: loop ?? EventLoop.current ?? EventLoop.preferred ?? EventLoop.none)
    }

    override func unfetchedReport(_ error: any Error) -> LoopReport {
        LoopReport("the error of a task was never fetched", error: error, task: name, created: "\(file):\(line)")
    }

    override var describedForErrors: String { "task \(name)" }

    final var taskName: TaskName { loop.nameLock.withLock { TaskName(given: givenName, number: number) } }

    /// The given name, or `Task-N` with a number that counts the tasks of the process. May be set at any time from any thread.
    public final var name: String {
        get { taskName.description }
        set { loop.nameLock.withLock { givenName = newValue } }
    }

    // MARK: cancellation

    /// How many requests for cancellation there were that nobody took back with ``uncancel()``. On the loop's thread.
    public final func cancelling() -> Int { cancellation.cancelling }

    /// Takes one request back: for whoever made it, or whoever refuses it for good.
    ///
    /// At zero, a request that was not delivered is forgotten; one whose wait was interrupted already is still thrown. On the loop's thread.
    /// - Returns: the requests that remain; never below zero.
    @discardableResult
    public final func uncancel() -> Int { cancellation.uncancel() }

    /// Every request that was not taken back, oldest first: who, where, why. On the loop's thread.
    public final var cancelRequests: [CancelOrigin] { cancellation.requests }

    override func cancelHere(_ origin: CancelOrigin) -> Bool {
        let action = cancellation.request(origin)
        perform(action, origin)
        return action != .refuse
    }

    final func perform(_ action: CancellationState.Action, _ origin: CancelOrigin) {
        var task = self
        var action = action
        // Down the tasks that await each other in a loop of its own: they may be more than the stack is deep.
        while action == .undo, case .future(let future) = task.undo, let next = future as? AnyLoopTask {
            action = next.cancellation.request(origin)
            if action == .refuse { task.cancellation.notInterrupted(by: origin) }
            task = next
        }
        switch action {
        case .refuse, .remember: return
        case .cancelNative: task.nativeID.cancel()
        case .undo: task.interrupt(origin)
        }
    }

    /// Ends the wait, or carries the request to what is waited for.
    private final func interrupt(_ origin: CancelOrigin) {
        switch undo {
        case .none:
            cancellation.notInterrupted(by: origin)
        case .timer(let timer):
            loop.stop(timer)
            cancellation.interrupted(by: origin)
            loop.ready.append(.wake(self))
        case .leave:
            // The place in the waiters' list is given up by the task itself, when it resumes: until then it still counts there, as in asyncio.
            cancellation.interrupted(by: origin)
            loop.ready.append(.wake(self))
        case .future(let future):
            if !future.requestCancel(origin) { cancellation.notInterrupted(by: origin) }
        case .forward(let forward):
            if !forward.body(origin) { cancellation.notInterrupted(by: origin) }
        }
    }

    /// Takes the latest request back and makes it again: the count stays, and it is delivered once more.
    final func renewRequest() {
        guard let origin = cancellation.requests.last else { return }
        _ = cancellation.withdraw(origin)
        requestCancel(origin)
    }

    override var waitedFor: [AnyFuture] {
        if case .future(let future) = undo { return [future] }
        return []
    }

    // MARK: life

    /// Before the native task is made. Nil if there is no loop for it, or a closed one: then this task has failed, and none must be made.
    @usableFromInline
    final func announce(eager: Bool) -> TaskStart? {
        if loop.add(self) { return loop.prepareStart(eager: eager) }
        let reason = loop === EventLoop.none ? EventLoop.noLoopAdvice : "its event loop is closed"
        complete(failure: LoopError.misuse("LoopTask", on: name, reason))
        return nil
    }

    @usableFromInline
    final func started(_ start: TaskStart) { loop.finishStart(start) }

    /// First step, inside the native task. False if the body must not run.
    @usableFromInline
    final func begin() -> Bool {
        // Elsewhere only if the loop has closed and refused the start; the task is the closing loop's to end.
        if !loop.isCurrent { return false }
        nativeID = loop.runningJob
        loop.current = self
        if let origin = cancellation.takePending() {
            end()
            complete(cancelled: CancelledError(origin))
            return false
        }
        cancellation.begin()
        return true
    }

    /// The body returned. The caller stores the value first and marks it if this says so.
    @usableFromInline
    final func endedWithValue() -> Bool {
        if let origin = end() {
            complete(cancelled: CancelledError(origin))
            return false
        }
        return true
    }

    @usableFromInline
    final func endedWithError(_ error: any Error) {
        _ = end()
        if error is CancelledError {
            complete(cancelled: error)
        } else if error is CancellationError {
            // Foreign code's way to say the same: the origin is the request, if there was one.
            let requested = cancellation.requests.first
            complete(cancelled: requested.map { CancelledError($0) } ?? CancelledError(message: "CancellationError", file: file, line: line))
        } else {
            complete(failure: error)
        }
    }

    @discardableResult
    private final func end() -> CancelOrigin? {
        let origin = cancellation.finish()
        loop.remove(self)
        return origin
    }
}

/// How `cancel()` ends a wait: brought along by the wait itself, so that none can be forgotten. One pointer, because every task has one.
enum Undo {
    /// Nothing to undo: a yield, which is over in the next turn.
    case none
    /// Stop the timer, which is this wait's own as long as the task is parked.
    case timer(TimerSlot)
    /// Leave a waiters' list.
    case leave
    /// Cancel what is waited for; the wait ends as that ends.
    case future(AnyFuture)
    /// As `future`, by a closure: false if it came too late.
    case forward(Forward)

    final class Forward {
        let body: (CancelOrigin) -> Bool

        init(_ body: @escaping (CancelOrigin) -> Bool) { self.body = body }
    }
}

extension AnyLoopTask {
    /// The loop closes and the task has refused to end: whoever waits for it is told, and it will never run again.
    func abandon() {
        if isDone { return }
        loop.remove(self)
        failClosed()
        AbandonedTasks.all.keep(self)
    }
}

/// Tasks that their loop has left behind. They stay suspended for ever, and what they hold stays alive with them: said here, so that it is no mystery.
private final class AbandonedTasks: @unchecked Sendable {
    // Sendable: the array is touched under the lock only.
    static let all = AbandonedTasks()
    private let lock = ThreadLock()
    private var tasks: [AnyLoopTask] = []

    func keep(_ task: AnyLoopTask) { lock.withLock { tasks.append(task) } }
}
