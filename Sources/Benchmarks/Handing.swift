import AsyncUV

/// Items through a bounded queue, from one task to another.
func queue(_ count: Int, capacity: Int) async throws -> Measurement {
    let queue = try Queue<Int>(maxSize: capacity)
    return try await measure(count) {
        try await withLoopTaskGroup { group in
            try group.addTask {
                for number in 0..<count { try await queue.put(number) }
            }
            try group.addTask {
                for number in 0..<count {
                    let item = try await queue.get()
                    guard item == number else { throw Wrong("item \(item) came in the place of \(number)") }
                }
            }
        }
    }
}

/// A lock that goes from task to task: whoever has it is waited for by all others.
func lock(_ count: Int, tasks: Int) async throws -> Measurement {
    let lock = try Lock()
    let taken = try LoopBound(0)
    try await lock.acquire()
    let waiting = (0..<tasks).map { number in
        LoopTask {
            for _ in stride(from: number, to: count, by: tasks) {
                try await lock.acquire()
                try taken.withValue { $0 += 1 }
                try lock.release()
            }
        }
    }
    try await LoopTask.yield()
    let result = try await measure(count) {
        try lock.release()
        for task in waiting { try await task.value }
    }
    let hands = try taken.withValue { $0 }
    guard hands == count else { throw Wrong("the lock was taken \(hands) times, not \(count)") }
    return result
}
