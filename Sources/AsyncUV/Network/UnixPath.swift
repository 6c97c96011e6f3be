internal import UVCore

/// The file that a listening socket stands for, in the file system: made here, and removed here as long as it is still the same one.
///
/// A path is only ever taken from a socket that no process has open. Whoever looks, removes and binds holds a lock on the folder meanwhile, so that two servers that
/// start at once do not take each other's fresh socket for a dead one's.
struct UnixPath {
    /// Absolute: the working directory may change before it is removed.
    private let path: [UInt8]
    private let identity: FileIdentity

    struct Listening: ~Copyable {
        let socket: Descriptor
        let path: UnixPath
    }

    /// To be called while the socket is open: as long as it is, no other file can have its number.
    func remove() {
        do {
            guard let there = try Paths.identity(of: path), there.isSameFile(as: identity) else { return }
            try Paths.remove(path)
        } catch {
            // The folder is gone, or may not be changed any more: then a dead socket stays, which the next server replaces.
        }
    }

    /// A socket that listens at a path.
    ///
    /// - Throws: EADDRINUSE if a socket of some process is there, ENOTSOCK if it is something else, EBUSY if a dead socket is there and nobody can say that another server
    ///   is not about to replace it, too.
    static func listen(at name: UnixName, _ options: ListenOptions) throws(UVError) -> Listening {
        let path = absolute(name.bytes)
        let folder = Array(path[...(path.lastIndex(of: slash) ?? 0)])
        let lock = FolderLock(folder)
        defer { withExtendedLifetime(lock) {} }
        let socket = try Sockets.openUnix()
        let bound: UnixPath
        switch options.existing {
        case .refuse, .replaceIfDead:
            try bind(socket, to: name, path, replacing: options.existing == .replaceIfDead, isLocked: lock.isHeld)
            bound = try UnixPath(path)
        case .takeOver: bound = try bindTemporary(socket, in: folder)
        }
        do throws(UVError) {
            // Nobody can connect before the socket listens.
            if let permissions = options.permissions { try Paths.setMode(permissions, of: bound.path) }
            try Sockets.listenUnix(socket, backlog: options.backlog)
            if options.existing != .takeOver { return Listening(socket: socket, path: bound) }
            if let there = try Paths.identity(of: path), !there.isSocket { throw UVError.notASocket("bind") }
            try Paths.rename(bound.path, to: path)
        } catch {
            bound.remove()
            throw error
        }
        return Listening(socket: socket, path: UnixPath(path, bound.identity))
    }

    private init(_ path: [UInt8], _ identity: FileIdentity) {
        self.path = path
        self.identity = identity
    }

    /// Of a socket that was just bound.
    private init(_ path: [UInt8]) throws(UVError) {
        guard let identity = try Paths.identity(of: path) else { throw UVError.addressInUse("bind") }
        self.init(path, identity)
    }

    private static func bind(
        _ socket: borrowing Descriptor, to name: UnixName, _ path: [UInt8], replacing: Bool, isLocked: Bool
    ) throws(UVError) {
        do throws(UVError) {
            return try Sockets.bindUnix(socket, to: name)
        } catch {
            if error.name != "EADDRINUSE" { throw error }
        }
        // Gone meanwhile: whoever removed it may be about to bind, and then it is theirs.
        guard let there = try Paths.identity(of: path) else { return try Sockets.bindUnix(socket, to: name) }
        if !there.isSocket { throw UVError.notASocket("bind") }
        if !replacing { throw UVError.addressInUse("bind") }
        if try Sockets.isBound(name) { throw UVError.addressInUse("bind") }
        if !isLocked { throw UVError.busy("flock") }
        // Looked at once more: a server that knows nothing of the lock may have replaced it.
        if let now = try Paths.identity(of: path) {
            if !now.isSameFile(as: there) { throw UVError.addressInUse("bind") }
            try Paths.remove(path)
        }
        try Sockets.bindUnix(socket, to: name)
    }

    /// Under a name that nobody knows, to be moved over the one that everybody knows.
    private static func bindTemporary(_ socket: borrowing Descriptor, in folder: [UInt8]) throws(UVError) -> UnixPath {
        for _ in 0..<16 {
            let path = folder + Array(".\(String(UInt32.random(in: .min ... .max), radix: 36))".utf8)
            guard let name = UnixName(path: path) else { throw UVError.nameTooLong("bind") }
            do throws(UVError) {
                try Sockets.bindUnix(socket, to: name)
                return try UnixPath(path)
            } catch {
                if error.name != "EADDRINUSE" { throw error }
            }
        }
        throw UVError.addressInUse("bind")
    }

    private static let slash = UInt8(ascii: "/")

    private static func absolute(_ path: [UInt8]) -> [UInt8] {
        // Without a working directory nothing relative can be bound either.
        if path.first == slash { return path }
        return (Paths.workingDirectory ?? []) + [slash] + path
    }
}

/// Held for the few system calls that it takes to bind.
private struct FolderLock: ~Copyable {
    private let descriptor: Descriptor?

    /// A folder that cannot be locked, because it may not be read or because a stranger holds a lock on it, is no reason not to bind where nothing is.
    init(_ folder: [UInt8]) {
        var taken: Descriptor?
        for _ in 0..<100 {
            do {
                taken = try Paths.lock(folder: folder)
            } catch {
                break
            }
            if taken != nil { break }
            ThisThread.pause(microseconds: 1000)
        }
        descriptor = consume taken
    }

    var isHeld: Bool { descriptor != nil }
}
