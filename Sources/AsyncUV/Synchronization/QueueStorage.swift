/// In which order a queue gives its items out: what ``Queue``, ``LifoQueue`` and ``PriorityQueue`` differ in, and what a program's own kind of queue
/// (``QueueOf`` with a storage of its own) has to bring.
///
/// Called on the queue's loop only. What it does must not come back to the queue that it is in.
public protocol QueueStorage<Element>: SendableMetatype {
    associatedtype Element: Sendable

    /// An empty one.
    init()

    mutating func put(_ item: Element)

    /// The next item out; nil if there is none.
    mutating func take() -> Element?
}

/// The storage of a ``Queue``.
public struct FirstInFirstOut<Element: Sendable>: QueueStorage {
    @usableFromInline var items = RingQueue<Element>()

    @inlinable public init() {}

    @inlinable public mutating func put(_ item: Element) { items.append(item) }

    @inlinable
    public mutating func take() -> Element? {
        let item = items.popFirst()
        // What a burst has taken is given back when it is over.
        if items.isEmpty && items.slots.count > 4096 { items.removeAll() }
        return item
    }
}

/// The storage of a ``LifoQueue``.
public struct LastInFirstOut<Element: Sendable>: QueueStorage {
    @usableFromInline var items: [Element] = []

    @inlinable public init() {}

    @inlinable public mutating func put(_ item: Element) { items.append(item) }

    @inlinable public mutating func take() -> Element? { items.popLast() }
}

/// The storage of a ``PriorityQueue``: a binary heap, lowest first.
///
/// Items of which neither is less than the other come out in the order in which Python's `heapq` gives them out, which is not that of arrival.
public struct LowestFirst<Element: Sendable & Comparable>: QueueStorage {
    @usableFromInline var heap: [Element] = []

    @inlinable public init() {}

    @inlinable
    public mutating func put(_ item: Element) {
        heap.append(item)
        rise(from: heap.count - 1)
    }

    @inlinable
    public mutating func take() -> Element? {
        guard let last = heap.popLast() else { return nil }
        guard let lowest = heap.first else { return last }
        heap[0] = last
        sink()
        return lowest
    }

    /// The item at `start` changes places with its parents while it is less.
    @inlinable
    mutating func rise(from start: Int) {
        var index = start
        while index > 0 {
            let parent = (index - 1) / 2
            if !(heap[index] < heap[parent]) { return }
            heap.swapAt(index, parent)
            index = parent
        }
    }

    /// The first item goes down to a leaf, always to the lesser child, and from there up to its place: fewer comparisons than stopping on the way down,
    /// because it was a leaf before.
    @inlinable
    mutating func sink() {
        var index = 0
        while 2 * index + 1 < heap.count {
            let left = 2 * index + 1
            let right = left + 1
            let lesser = right < heap.count && !(heap[left] < heap[right]) ? right : left
            heap.swapAt(index, lesser)
            index = lesser
        }
        rise(from: index)
    }
}
