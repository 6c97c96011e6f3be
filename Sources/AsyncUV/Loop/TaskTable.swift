internal import UVCore

/// Tasks that are not done, each held until it is. A task knows its place.
///
/// A class over fenced memory, because every task goes in and out of it: see the decision about hot state.
final class TaskTable {
    private let places = FencedTable<AnyLoopTask>()

    var count: Int { places.count }

    /// Oldest first.
    var all: [AnyLoopTask] { places.all.sorted { $0.number < $1.number } }

    func insert(_ task: AnyLoopTask) { task.tableIndex = places.insert(task) }

    /// False if it is not in the table.
    func remove(_ task: AnyLoopTask) -> Bool {
        guard task.tableIndex >= 0 else { return false }
        let index = task.tableIndex
        task.tableIndex = -1
        return places.remove(at: index) != nil
    }
}

extension EventLoop {
    /// Tasks of this loop that are not done, oldest first. On the loop's thread.
    public var unfinishedTasks: [AnyLoopTask] { unfinished.all }

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
        unfinished.insert(task)
        if isShuttingDown { cancelAfterFirstStep(task) }
    }

    func remove(_ task: AnyLoopTask) {
        guard unfinished.remove(task) else { return }
        if isShuttingDown && unfinished.count == 0 { stopRequested = true }
    }
}
