internal import UVCore

/// A look at a loop from outside: for tests, for metrics, for whoever wonders why a daemon does not end.
public struct LoopStatistics: Hashable, Sendable {
    /// Turns since the loop was made.
    public let turns: UInt64
    /// Entries that the next turn will run.
    public let ready: Int
    /// Tasks that are not done.
    public let unfinishedTasks: Int
    /// Of these, tasks that wait in foreign async code.
    public let tasksInForeignCode: Int
    /// Timers that libuv, or the virtual clock, will fire.
    public let armedTimers: Int
    /// Idle timers that are kept for the next sleeps: at most ``EventLoop/timerPoolLimit``.
    public let pooledTimers: Int
    /// Handles that libuv would call back for, the loop's own wake-up included.
    public let activeHandles: Int
}

extension EventLoop {
    /// Counted at this moment; walks the loop's handles. On the loop's thread.
    public var statistics: LoopStatistics {
        LoopStatistics(
            turns: turn, ready: ready.count, unfinishedTasks: unfinished.count, tasksInForeignCode: suspended.count,
            armedTimers: timers.armed, pooledTimers: timerPool.count, activeHandles: uv?.activeHandleCount ?? 0)
    }
}
