/// Objects that are kept, each found again by a small number: its place. Places that are free are used again, the last one first.
///
/// As in ``FencedRing`` nothing is checked at run time but the place: the memory is this object's alone, and an object is let go of when the table is whole again.
@safe public final class FencedTable<Object: AnyObject> {
    @unsafe @usableFromInline struct State {
        // SAFETY: `capacity` places, of which the first `used` are initialised. Freed when the table grows, and in deinit.
        @usableFromInline var places: UnsafeMutablePointer<Place>
        @usableFromInline var capacity: Int
        @usableFromInline var used = 0
        @usableFromInline var count = 0
        @usableFromInline var firstFree: Int32 = -1

        @usableFromInline
        init(capacity: Int) {
            unsafe places = .allocate(capacity: capacity)
            unsafe self.capacity = capacity
        }
    }

    @usableFromInline struct Place {
        @usableFromInline var object: Object?
        /// Of one that is free, the next that is.
        @usableFromInline var nextFree: Int32

        @inlinable init(object: Object?) {
            self.object = object
            nextFree = -1
        }
    }

    // SAFETY: allocated in init, freed in deinit, and never handed out.
    @usableFromInline let state: UnsafeMutablePointer<State>

    @inlinable
    public init() {
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(to: State(capacity: 64))
    }

    @inlinable
    deinit {
        unsafe state.pointee.places.deinitialize(count: state.pointee.used)
        unsafe state.pointee.places.deallocate()
        unsafe state.deallocate()
    }

    @inlinable public var count: Int { unsafe state.pointee.count }

    /// Keeps an object, and says where.
    @inlinable
    public func insert(_ object: Object) -> Int32 {
        unsafe state.pointee.count &+= 1
        let free = unsafe state.pointee.firstFree
        if free >= 0 {
            let place = unsafe state.pointee.places + Int(free)
            unsafe state.pointee.firstFree = unsafe place.pointee.nextFree
            unsafe place.pointee.object = object
            return free
        }
        if unsafe state.pointee.used == state.pointee.capacity { grow() }
        let index = unsafe state.pointee.used
        unsafe (state.pointee.places + index).initialize(to: Place(object: object))
        unsafe state.pointee.used = index &+ 1
        return Int32(truncatingIfNeeded: index)
    }

    /// The object of a place, which is free from then on. The caller lets go of it, when the table may be used again.
    @inlinable
    public func remove(at index: Int32) -> Object? {
        precondition(unsafe index >= 0 && Int(index) < state.pointee.used, "a place that the table does not have")
        let place = unsafe state.pointee.places + Int(index)
        guard let object = unsafe place.pointee.object.take() else { return nil }
        unsafe place.pointee.nextFree = unsafe state.pointee.firstFree
        unsafe state.pointee.firstFree = index
        unsafe state.pointee.count &-= 1
        return object
    }

    /// In no order that means anything.
    @inlinable
    public var all: [Object] {
        var objects: [Object] = []
        objects.reserveCapacity(count)
        for index in 0..<(unsafe state.pointee.used) {
            if let object = unsafe state.pointee.places[index].object { objects.append(object) }
        }
        return objects
    }

    @inlinable
    @inline(never)
    func grow() {
        let old = unsafe state.pointee
        unsafe state.pointee.places = .allocate(capacity: old.capacity * 2)
        unsafe state.pointee.capacity = old.capacity * 2
        unsafe state.pointee.places.moveInitialize(from: old.places, count: old.used)
        unsafe old.places.deallocate()
    }
}

@available(*, unavailable)
extension FencedTable: Sendable {}
