internal import UVCore

/// Descriptors that have arrived on a stream, until the bytes are read that they came with: then they are taken, or closed.
///
/// The kernel goes on reading from bytes without descriptors to the first with some, and stops behind those: which of the bytes of a read they came with it does not say.
final class ReceivedDescriptors {
    struct Group {
        /// The bytes of that read, counted from the beginning of the stream.
        let start: UInt64
        let end: UInt64
        var descriptors: [OwnedDescriptor]
        var hasLost: Bool
    }

    private var groups: [Group] = []
    private var held = 0
    /// Bytes that have arrived since the beginning.
    private(set) var position: UInt64 = 0

    /// So many are held that no more are received before some are taken.
    var isFull: Bool { held >= Sockets.maximumPassedDescriptors }

    func arrived(_ descriptors: [OwnedDescriptor], hasLost: Bool, bytes: Int) {
        if hasLost || !descriptors.isEmpty {
            groups.append(Group(start: position, end: position &+ UInt64(bytes), descriptors: descriptors, hasLost: hasLost))
            held += descriptors.count
        }
        position &+= UInt64(bytes)
    }

    /// What came with the first of so many bytes that are still to be read, or with one of those before it, and how many bytes there are to the next with descriptors.
    func next(unread: Int) -> (group: Group?, bytes: Int) {
        drop(unread: unread)
        let place = position - UInt64(unread)
        guard let first = groups.first else { return (nil, unread) }
        if first.start > place { return (nil, Int(first.start - place)) }
        held -= first.descriptors.count
        groups.removeFirst()
        return (first, Int(first.end - place))
    }

    /// Those whose bytes have all been read are closed: nobody has asked for them.
    func drop(unread: Int) {
        let place = position - UInt64(unread)
        while let first = groups.first, first.end <= place {
            held -= first.descriptors.count
            groups.removeFirst()
        }
    }

    func removeAll() {
        groups = []
        held = 0
    }
}
