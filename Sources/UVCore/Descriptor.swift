internal import Glibc

/// A file descriptor that has exactly one owner, and is closed when that owner lets go of it.
public struct Descriptor: ~Copyable {
    public let number: Int32

    public init(owning number: Int32) { self.number = number }

    // Linux has given the descriptor back whatever close(2) returns: there is nothing to repeat, and nothing that could be done.
    deinit { _ = close(number) }

    /// Gives the descriptor to somebody who closes it.
    public consuming func release() -> Int32 {
        let number = number
        discard self
        return number
    }
}

/// Calls on descriptors of any kind.
extension Descriptor {
    /// Another number for the same open file, closed on exec.
    public static func duplicate(of number: Int32) throws(UVError) -> Descriptor {
        let copy = fcntl(number, F_DUPFD_CLOEXEC, 0)
        try Sockets.check(copy, "fcntl F_DUPFD_CLOEXEC")
        return Descriptor(owning: copy)
    }

    public static func closeOnExec(_ number: Int32) throws(UVError) { try Sockets.check(fcntl(number, F_SETFD, FD_CLOEXEC), "fcntl F_SETFD") }

    public static func isOpen(_ number: Int32) -> Bool { fcntl(number, F_GETFD) >= 0 }

    /// Whether reads and writes wait: of the open file, whichever of its numbers is used.
    static func isBlocking(_ number: Int32) throws(UVError) -> Bool {
        let flags = fcntl(number, F_GETFL)
        try Sockets.check(flags, "fcntl F_GETFL")
        return flags & O_NONBLOCK == 0
    }

    static func makeBlocking(_ number: Int32) throws(UVError) {
        let flags = fcntl(number, F_GETFL)
        try Sockets.check(flags, "fcntl F_GETFL")
        try Sockets.check(fcntl(number, F_SETFL, flags & ~O_NONBLOCK), "fcntl F_SETFL")
    }

    /// Which file a descriptor is open on.
    public static func identity(of number: Int32) throws(UVError) -> FileIdentity {
        var status = stat()
        try Sockets.check(unsafe fstat(number, &status), "fstat")
        return FileIdentity(status)
    }
}
