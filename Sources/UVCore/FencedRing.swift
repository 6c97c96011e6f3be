/// A first-in, first-out ring in memory of its own, that grows by doubling: what a loop's ready queue is.
///
/// Each element is moved in and moved out once. Nothing is checked at run time that an array in a class's property is checked for at every step (that nobody else has the array, that
/// nobody else is writing to the property, that the index is within): the memory belongs to this object alone, an index is always masked, and no step calls anything that could come back.
@safe public final class FencedRing<Element> {
    @unsafe @usableFromInline struct State {
        // SAFETY: `mask + 1` places, of which the `count` from `head` on, modulo that, are initialised. Freed when the ring grows, and in deinit.
        @usableFromInline var slots: UnsafeMutablePointer<Element>
        @usableFromInline var mask: Int
        @usableFromInline var head = 0
        @usableFromInline var count = 0

        @usableFromInline
        init(capacity: Int) {
            unsafe slots = .allocate(capacity: capacity)
            unsafe mask = capacity - 1
        }
    }

    // SAFETY: allocated in init, freed in deinit, and never handed out.
    @usableFromInline let state: UnsafeMutablePointer<State>

    /// - Parameter capacity: a power of two.
    @inlinable
    public init(capacity: Int) {
        precondition(capacity > 0 && capacity & (capacity - 1) == 0, "the capacity of a ring is a power of two")
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(to: State(capacity: capacity))
    }

    @inlinable
    deinit {
        while popFirst() != nil {}
        unsafe state.pointee.slots.deallocate()
        unsafe state.deallocate()
    }

    @inlinable public var count: Int { unsafe state.pointee.count }
    @inlinable public var isEmpty: Bool { unsafe state.pointee.count == 0 }

    @inlinable
    public func append(_ element: consuming Element) {
        if unsafe state.pointee.count > state.pointee.mask { grow() }
        let place = unsafe (state.pointee.head &+ state.pointee.count) & state.pointee.mask
        unsafe (state.pointee.slots + place).initialize(to: element)
        unsafe state.pointee.count &+= 1
    }

    @inlinable
    public func popFirst() -> Element? {
        if isEmpty { return nil }
        let head = unsafe state.pointee.head
        unsafe state.pointee.head = (head &+ 1) & state.pointee.mask
        unsafe state.pointee.count &-= 1
        return unsafe (state.pointee.slots + head).move()
    }

    @inlinable
    @inline(never)
    func grow() {
        let old = unsafe state.pointee
        unsafe state.pointee = State(capacity: (old.mask + 1) * 2)
        let behind = unsafe old.mask + 1 - old.head
        // It is full, so that its elements stand from the head to the end and then from the beginning to the head.
        unsafe state.pointee.slots.moveInitialize(from: old.slots + old.head, count: behind)
        unsafe (state.pointee.slots + behind).moveInitialize(from: old.slots, count: old.head)
        unsafe state.pointee.count = unsafe old.count
        unsafe old.slots.deallocate()
    }
}

@available(*, unavailable)
extension FencedRing: Sendable {}
