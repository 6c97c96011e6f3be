internal import Synchronization
internal import UVCore

/// A file descriptor that has exactly one owner: this object, until it is closed, given to a stream or listener, or released. Let go of, it closes.
///
/// From any thread. Whoever uses ``fileNumber`` makes sure that nobody closes the object meanwhile: the number may belong to another file then.
public final class OwnedDescriptor: Sendable, CustomStringConvertible {
    /// -1 once there is none.
    private let number: Atomic<Int32>

    /// Takes over a descriptor: from here on nobody else may close it.
    public init(owning number: Int32) { self.number = Atomic(number) }

    /// A descriptor of its own for the same open file as `number`, which stays its owner's. Closed on exec.
    ///
    /// - Throws: `LoopError` `.system`: EBADF if there is no such descriptor, EMFILE if none is free.
    public convenience init(duplicating number: Int32) throws {
        do {
            self.init(owning: try Descriptor.duplicate(of: number).release())
        } catch {
            throw LoopError(error, "OwnedDescriptor", on: "descriptor \(number)")
        }
    }

    convenience init(_ descriptor: consuming Descriptor) { self.init(owning: descriptor.release()) }

    deinit { close() }

    /// The system's number for it; nil once it was closed, released, or given away. It stays this object's.
    public var fileNumber: Int32? {
        let number = number.load(ordering: .acquiring)
        return number < 0 ? nil : number
    }

    /// Gives the descriptor to the caller, who closes it; nil if it has gone already.
    public func release() -> Int32? {
        let number = number.exchange(-1, ordering: .acquiringAndReleasing)
        return number < 0 ? nil : number
    }

    /// Idempotent. What the system says to it is nothing that one could act on.
    public func close() { _ = take() }

    /// Moves it inside: of several who try, one gets it.
    func take() -> Descriptor? {
        guard let number = release() else { return nil }
        return Descriptor(owning: number)
    }

    public var description: String { fileNumber.map { "descriptor \($0)" } ?? "a descriptor that was closed or given away" }
}
