// One of the few files outside the fence that say `unsafe`: the unowned executor and job types are unsafe types of Swift's own.
internal import UVCore

// The loop's TaskExecutor and its SerialExecutor are two objects, and each runs its own jobs its own way. A job that is run
// "isolated to" the serial executor claims it, and entry to nonisolated code would then switch back by enqueueing once more.

extension EventLoop: TaskExecutor {
    /// Takes a job of the Swift runtime. Callable from any thread.
    public func enqueue(_ job: consuming ExecutorJob) {
        accept(UnownedJob(job), serial: false)
    }

    /// For actors that are pinned to this loop: `nonisolated var unownedExecutor: UnownedSerialExecutor { loop.unownedExecutor }`.
    ///
    /// The actor's owner keeps the loop alive: the reference is unowned.
    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe serialExecutor.asUnownedSerialExecutor()
    }
}

/// The loop as the executor of actors; ``EventLoop/unownedExecutor`` hands it out.
final class LoopSerialExecutor: SerialExecutor, @unchecked Sendable {
    // Unowned, because the loop owns this object; actors that outlive their loop are a programming error, as with any unowned executor.
    private unowned let loop: EventLoop

    init(loop: EventLoop) { self.loop = loop }

    func enqueue(_ job: consuming ExecutorJob) {
        loop.accept(UnownedJob(job), serial: true)
    }

    func checkIsolated() {
        precondition(loop.isCurrent, "code isolated to an AsyncUV event loop was called on another thread")
    }

    func isIsolatingCurrentContext() -> Bool? { loop.isCurrent }
}

/// The identity of a native task: the address of its job, which is what a job, a continuation and the current task have in common.
struct NativeTaskID: Hashable {
    private let bits: UInt

    static let none = NativeTaskID(bits: 0)

    private init(bits: UInt) { self.bits = bits }

    init(_ job: UnownedJob) {
        // SAFETY: only compared, never turned back into a reference. The job of a task is the task itself.
        bits = unsafe unsafeBitCast(job, to: UInt.self)
    }

    /// Cancels the native task. Only between its first step and its last: so long the runtime keeps it, and after that the address may be anybody's.
    func cancel() {
        guard bits != 0 else { return }
        // SAFETY: as above, and see the condition, which `CancellationState` keeps: it asks for this while the task is suspended in foreign code.
        unsafe unsafeBitCast(bits, to: UnsafeCurrentTask.self).cancel()
    }

    /// The native task that runs on this thread; `none` outside of one.
    static var current: NativeTaskID {
        NativeTaskID(bits: ThisThread.nativeTask)
    }
}

extension EventLoop {
    /// The loop that the current native task prefers, on whichever thread it is now: where a LoopTask, or a child task of one, is at home.
    static var preferred: EventLoop? {
        unsafe withUnsafeCurrentTask { task in
            guard let task = unsafe task, let executor = unsafe task.unownedTaskExecutor else { return nil }
            return unsafe executor.asTaskExecutor() as? EventLoop
        }
    }

    /// Runs a job here and now, and after it every hop of the same task: a hop between the loop's two executors is not a turn.
    func run(_ job: UnownedJob, serial: Bool) {
        let outer = runningJob
        runningJob = NativeTaskID(job)
        runHere(job, serial: serial)
        runHops()
        runningJob = outer
    }

    func runHops() {
        while let (job, serial) = hop {
            hop = nil
            runHere(job, serial: serial)
        }
    }

    private func runHere(_ job: UnownedJob, serial: Bool) {
        if serial {
            unsafe job.runSynchronously(
                isolatedTo: serialExecutor.asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
        } else {
            unsafe job.runSynchronously(on: asUnownedTaskExecutor())
        }
    }

    /// Where every job arrives.
    func accept(_ job: UnownedJob, serial: Bool) {
        guard isOwner else {
            if !inbox.post(serial ? .serialJob(job) : .taskJob(job)) {
                if EventLoop.startsTaskFor.object === self {
                    // The first step of a task whose loop has closed meanwhile: it sees where it is, and ends at once.
                    unsafe job.runSynchronously(on: asUnownedTaskExecutor())
                    return
                }
                // A job cannot be refused, and run elsewhere it would race with what the loop once protected.
                report(LoopReport("a task was resumed after its event loop was closed: it will never run"))
            }
            return
        }
        if runningJob == NativeTaskID(job) {
            hop = (job, serial)
        } else if capturesNextJob {
            capturesNextJob = false
            capturedJob = job
        } else {
            ready.append(serial ? .serialJob(job) : .taskJob(job))
        }
    }
}
