/// Items on their way between tasks of one loop, first in, first out, bounded if wished. See ``QueueOf`` for what it does.
///
/// ```swift
/// let jobs = try Queue<Job>(maxSize: 100)
/// let worker = LoopTask {
///     while true {
///         let job = try await jobs.get()
///         await work(on: job)
///         try jobs.taskDone()
///     }
/// }
/// try await jobs.put(job)
/// try await jobs.join()
/// ```
public final class Queue<Element: Sendable>: QueueOf<FirstInFirstOut<Element>>, @unchecked Sendable {}
