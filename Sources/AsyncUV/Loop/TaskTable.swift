/// Tasks that are not done, each held until it is. A task knows its place.
struct TaskTable {
    private var places: [AnyLoopTask?] = []
    private var free: [Int32] = []
    private(set) var count = 0

    /// Oldest first.
    var all: [AnyLoopTask] { places.compactMap(\.self).sorted { $0.number < $1.number } }

    mutating func insert(_ task: AnyLoopTask) {
        if let index = free.popLast() {
            task.tableIndex = index
            places[Int(index)] = task
        } else {
            task.tableIndex = Int32(places.count)
            places.append(task)
        }
        count += 1
    }

    /// False if it is not in the table.
    mutating func remove(_ task: AnyLoopTask) -> Bool {
        guard task.tableIndex >= 0 else { return false }
        places[Int(task.tableIndex)] = nil
        free.append(task.tableIndex)
        task.tableIndex = -1
        count -= 1
        return true
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
