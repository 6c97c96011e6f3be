/// A ``Semaphore`` whose permits never become more than they were at first: a release too many is an error, and not one more permit.
public final class BoundedSemaphore: Semaphore, @unchecked Sendable {
    // Sendable: as Semaphore; `bound` does not change.

    /// How many permits there were at first.
    public let bound: Int

    /// - Parameters, Throws: as ``Semaphore/init(value:on:)``.
    public override init(value: Int = 1, on loop: EventLoop? = nil) throws {
        bound = value
        try super.init(value: value, on: loop)
    }

    /// Gives a permit back, and wakes the next in line.
    ///
    /// - Throws: `LoopError` `.misuse` if all permits are there already, or on another thread than its loop's.
    public override func release() throws {
        try loop.requireOwner("BoundedSemaphore.release")
        if value >= bound {
            throw LoopError.misuse(
                "BoundedSemaphore.release", "all \(bound) permits are there already: release once for each acquire, or use withPermit { … }")
        }
        try super.release()
    }
}
