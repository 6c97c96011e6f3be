/// One entry of the ready queue: a turn runs each that was there when it began, first in, first out.
enum ReadyEntry {
    /// A Swift job that came through the loop as task executor.
    case taskJob(UnownedJob)
    /// A Swift job that came through the loop's serial executor.
    case serialJob(UnownedJob)
    /// Resumes a parked task, and runs its job inside this very entry.
    case wake(AnyLoopTask)
    /// A timer that is due.
    case timer(TimerSlot)
    /// `callSoon`.
    case handle(Handle)
    /// A done callback.
    case doneCallback(DoneCallback, AnyFuture)
    /// Internal work that takes an entry of its own, such as a request that another thread has posted.
    case call(() -> Void)
    /// Internal work of another thread that is no entry of a turn: it acts when the inbox is drained.
    case immediate(() -> Void)
}
