/// Tasks that are suspended in foreign async code, by their native task: the only thing that tells which of them a job brings back.
final class SuspendedTasks {
    private var tasks: [NativeTaskID: AnyLoopTask] = [:]
    /// Asked at every job, and therefore a property of its own: the dictionary's would be checked for exclusive access each time.
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    func keep(_ task: AnyLoopTask) {
        tasks[task.nativeID] = task
        count = tasks.count
    }

    func take(_ native: NativeTaskID) -> AnyLoopTask? {
        let task = tasks.removeValue(forKey: native)
        count = tasks.count
        return task
    }
}
