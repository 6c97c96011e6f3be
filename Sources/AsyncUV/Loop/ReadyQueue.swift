internal import UVCore

/// What is ready to run on a loop, first in, first out.
struct ReadyQueue {
    private let ring = FencedRing<ReadyEntry>(capacity: 64)

    @inline(__always) var count: Int { ring.count }
    @inline(__always) var isEmpty: Bool { ring.isEmpty }
    @inline(__always) func append(_ entry: consuming ReadyEntry) { ring.append(entry) }
    @inline(__always) func popFirst() -> ReadyEntry? { ring.popFirst() }
}
