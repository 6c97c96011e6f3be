internal import CLibUV
internal import Glibc

/// The calls of Unix sockets, one system call or a few each. libuv's own bind is not used: it cuts long paths off, and closing removes what stands at the path, whosever
/// it is.
extension Sockets {
    /// A stream socket: non-blocking, closed on exec, bound to nothing.
    public static func openUnix() throws(UVError) -> Descriptor { try openUnix(SOCK_STREAM) }

    private static func openUnix(_ type: __socket_type) throws(UVError) -> Descriptor {
        let number = socket(AF_UNIX, Int32(type.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        try check(number, "socket")
        return Descriptor(owning: number)
    }

    public static func bindUnix(_ descriptor: borrowing Descriptor, to name: UnixName) throws(UVError) {
        let number = descriptor.number
        try check(unsafe name.withSystemAddress { unsafe bind(number, $0, $1) }, "bind")
    }

    public static func listenUnix(_ descriptor: borrowing Descriptor, backlog: Int32) throws(UVError) {
        try check(Glibc.listen(descriptor.number, backlog), "listen")
    }

    /// False if the listener's backlog is full: a Unix socket that does not block is not on its way then, and is told nothing when there is room.
    public static func connectUnix(_ descriptor: borrowing Descriptor, to name: UnixName) throws(UVError) -> Bool {
        let number = descriptor.number
        while unsafe name.withSystemAddress({ unsafe Glibc.connect(number, $0, $1) }) != 0 {
            if errno == EAGAIN { return false }
            if errno != EINTR { throw UVError(code: -errno, call: "connect") }
        }
        return true
    }

    public enum UnixPair: ~Copyable {
        case pair(near: Descriptor, far: Descriptor)
    }

    /// Two stream sockets that are connected with each other.
    public static func unixPair() throws(UVError) -> UnixPair {
        var numbers: (Int32, Int32) = (-1, -1)
        let flags = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        // SAFETY: a tuple of two numbers has the layout of an array of two; the pointer is not kept.
        let result = unsafe withUnsafeMutableBytes(of: &numbers) { unsafe socketpair(AF_UNIX, flags, 0, $0.assumingMemoryBound(to: Int32.self).baseAddress) }
        try check(result, "socketpair")
        return .pair(near: Descriptor(owning: numbers.0), far: Descriptor(owning: numbers.1))
    }

    /// Takes one connection out of the backlog, if there is one: as `accept`, for a listener of this family.
    public static func acceptUnix(_ listener: Int32) -> AcceptedUnix {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        // SAFETY: `storage` is as long as `length` says; the pointer is not kept.
        let number = unsafe withUnsafeMutableBytes(of: &storage) {
            unsafe clibuv_accept4(
                listener, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, &length,
                Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
        }
        if number < 0 { return .failed(UVError(code: -errno, call: "accept4")) }
        return .connection(Descriptor(owning: number), peer: UnixName(storage, length: length) ?? .unnamed)
    }

    public enum AcceptedUnix: ~Copyable {
        case connection(Descriptor, peer: UnixName)
        case failed(UVError)
    }

    /// What a socket is bound to; nil if it is of another family.
    public static func localUnixName(_ descriptor: Int32) throws(UVError) -> UnixName? {
        try unsafe unixName("getsockname") { unsafe getsockname(descriptor, $0, $1) }
    }

    /// What its peer is bound to; nil if it is of another family.
    public static func peerUnixName(_ descriptor: Int32) throws(UVError) -> UnixName? {
        try unsafe unixName("getpeername") { unsafe getpeername(descriptor, $0, $1) }
    }

    private static func unixName(
        _ call: String, _ get: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) throws(UVError) -> UnixName? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        // SAFETY: as in `acceptUnix`.
        let result = unsafe withUnsafeMutableBytes(of: &storage) {
            unsafe get($0.assumingMemoryBound(to: sockaddr.self).baseAddress.unsafelyUnwrapped, &length)
        }
        try check(result, call)
        return UnixName(storage, length: length)
    }

    /// Who was at the other end when the connection was made, as the kernel saw it.
    public static func peerCredentials(_ descriptor: Int32) throws(UVError) -> (process: Int32, user: UInt32, group: UInt32) {
        var credentials = clibuv_credentials()
        try check(unsafe clibuv_peer_credentials(descriptor, &credentials), "getsockopt SO_PEERCRED")
        return (credentials.pid, credentials.uid, credentials.gid)
    }

    // MARK: sockets in the file system

    /// Whether an open socket of any process is bound to a path, listening or not. Nobody there notices.
    public static func isBound(_ name: UnixName) throws(UVError) -> Bool {
        // Of another type than the one that is looked for: the kernel says which of the two is wrong, the socket or its type, without asking its owner.
        let descriptor = try openUnix(SOCK_DGRAM)
        let number = descriptor.number
        while unsafe name.withSystemAddress({ unsafe Glibc.connect(number, $0, $1) }) != 0 {
            switch errno {
            case EINTR: continue
            case ECONNREFUSED: return false
            // Of another type, or of this one and not for us.
            case EPROTOTYPE, EAGAIN, EPERM: return true
            default: throw UVError(code: -errno, call: "connect")
            }
        }
        return true
    }
}

/// Which file a path names: two that are equal, while the file exists, are the same one.
public struct FileIdentity: Hashable, Sendable {
    public let device: UInt64
    public let inode: UInt64
    public let isSocket: Bool
    public let isRegularFile: Bool
    /// The permissions, as chmod(2) takes them.
    public let mode: UInt32

    init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        isSocket = status.st_mode & S_IFMT == S_IFSOCK
        isRegularFile = status.st_mode & S_IFMT == S_IFREG
        mode = status.st_mode & 0o7777
    }

    public func isSameFile(as other: FileIdentity) -> Bool { device == other.device && inode == other.inode }
}

/// Calls on paths, which never follow a symbolic link at their end.
public enum Paths {
    /// Nil if there is nothing.
    public static func identity(of path: [UInt8]) throws(UVError) -> FileIdentity? {
        var status = stat()
        if unsafe terminated(path).withUnsafeBufferPointer({ unsafe lstat($0.baseAddress.unsafelyUnwrapped, &status) }) == 0 { return FileIdentity(status) }
        if errno == ENOENT { return nil }
        throw UVError(code: -errno, call: "lstat")
    }

    public static func remove(_ path: [UInt8]) throws(UVError) {
        try Sockets.check(unsafe terminated(path).withUnsafeBufferPointer { unsafe unlink($0.baseAddress.unsafelyUnwrapped) }, "unlink")
    }

    public static func rename(_ path: [UInt8], to target: [UInt8]) throws(UVError) {
        try Sockets.check(
            unsafe terminated(path).withUnsafeBufferPointer { path in
                unsafe terminated(target).withUnsafeBufferPointer {
                    unsafe Glibc.rename(path.baseAddress.unsafelyUnwrapped, $0.baseAddress.unsafelyUnwrapped)
                }
            }, "rename")
    }

    public static func setMode(_ mode: UInt32, of path: [UInt8]) throws(UVError) {
        try Sockets.check(
            unsafe terminated(path).withUnsafeBufferPointer { unsafe fchmodat(AT_FDCWD, $0.baseAddress.unsafelyUnwrapped, mode, AT_SYMLINK_NOFOLLOW) }, "fchmodat")
    }

    /// The process's working directory at this moment; nil if it is gone.
    public static var workingDirectory: [UInt8]? {
        var bytes = [CChar](repeating: 0, count: Int(PATH_MAX))
        guard unsafe getcwd(&bytes, bytes.count) != nil else { return nil }
        return bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    }

    /// A lock on a folder among those who ask for it in the same way; it ends with the descriptor, or with the process. Nil if somebody else has it.
    public static func lock(folder: [UInt8]) throws(UVError) -> Descriptor? {
        let number = unsafe terminated(folder).withUnsafeBufferPointer {
            unsafe Glibc.open($0.baseAddress.unsafelyUnwrapped, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        }
        try Sockets.check(number, "open")
        let descriptor = Descriptor(owning: number)
        while flock(number, LOCK_EX | LOCK_NB) != 0 {
            if errno == EWOULDBLOCK { return nil }
            if errno != EINTR { throw UVError(code: -errno, call: "flock") }
        }
        return descriptor
    }

    private static func terminated(_ path: [UInt8]) -> [CChar] { path.map { CChar(bitPattern: $0) } + [0] }
}
