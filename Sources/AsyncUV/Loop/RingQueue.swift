/// A first-in, first-out ring of elements that grows by doubling and never shrinks below its first size.
///
/// Own code and not a package's, because it is the loop's innermost path and the only container that the core would import one for.
@usableFromInline
struct RingQueue<Element> {
    @usableFromInline var slots: [Element?]
    @usableFromInline var head = 0
    @usableFromInline var count = 0

    @inlinable
    init(capacity: Int = 16) {
        var size = 16
        while size < capacity { size *= 2 }
        slots = Array(repeating: nil, count: size)
    }

    @inlinable var isEmpty: Bool { count == 0 }
    @inlinable var first: Element? { count == 0 ? nil : slots[head] }

    @inlinable
    mutating func append(_ element: Element) {
        if count == slots.count { grow() }
        slots[(head &+ count) & (slots.count &- 1)] = element
        count &+= 1
    }

    @inlinable
    mutating func popFirst() -> Element? {
        if count == 0 { return nil }
        let element = slots[head].take()
        head = (head &+ 1) & (slots.count &- 1)
        count &-= 1
        return element
    }

    @inlinable
    mutating func popLast() -> Element? {
        if count == 0 { return nil }
        count &-= 1
        return slots[(head &+ count) & (slots.count &- 1)].take()
    }

    /// Drops all elements, and the memory that a burst has taken.
    @inlinable
    mutating func removeAll() {
        slots = Array(repeating: nil, count: 16)
        head = 0
        count = 0
    }

    @inlinable
    mutating func grow() {
        var larger: [Element?] = Array(repeating: nil, count: slots.count * 2)
        for index in 0..<count { larger[index] = slots[(head + index) & (slots.count - 1)].take() }
        slots = larger
        head = 0
    }
}
