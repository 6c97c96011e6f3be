internal import CLibUV
internal import Glibc

/// What a descriptor that was opened by others leads to.
public enum DescriptorKind: Sendable {
    /// Without a name; epoll tells of it, and it can be opened once more.
    case pipe
    /// With a name. Whoever opens it once more is not told that its writers are gone already.
    case namedPipe
    case terminal
    /// The other side of a terminal. To open it once more makes another terminal.
    case terminalController
    case socket
    case file
    /// `/dev/null` and the like.
    case device
    /// An event descriptor, and whatever else is no stream of bytes.
    case other
}

/// Pipes, and descriptors that others have opened and perhaps share.
public enum Pipes {
    public struct Pair: ~Copyable {
        private var reader: Descriptor?
        private var writer: Descriptor?

        fileprivate init(_ reader: consuming Descriptor, _ writer: consuming Descriptor) {
            self.reader = consume reader
            self.writer = consume writer
        }

        /// Each end once.
        public mutating func takeReader() -> Descriptor? { reader.take() }
        public mutating func takeWriter() -> Descriptor? { writer.take() }
    }

    /// Both ends are non-blocking and closed on exec.
    public static func pair() throws(UVError) -> Pair {
        var ends: (Int32, Int32) = (-1, -1)
        let result = unsafe withUnsafeMutableBytes(of: &ends) {
            unsafe clibuv_pipe2($0.assumingMemoryBound(to: Int32.self).baseAddress, O_NONBLOCK | O_CLOEXEC)
        }
        try Sockets.check(result, "pipe2")
        return Pair(Descriptor(owning: ends.0), Descriptor(owning: ends.1))
    }

    /// Opens what has a name: non-blocking, closed on exec; a terminal does not become the process's controlling one.
    public static func open(_ path: String, reads: Bool, writes: Bool) throws(UVError) -> Descriptor {
        let access = reads && writes ? O_RDWR : writes ? O_WRONLY : O_RDONLY
        let number = unsafe Glibc.open(path, access | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)
        try Sockets.check(number, "open")
        return Descriptor(owning: number)
    }

    /// - Throws: EBADF if there is no such descriptor.
    public static func kind(of number: Int32) throws(UVError) -> DescriptorKind {
        var status = stat()
        try Sockets.check(unsafe fstat(number, &status), "fstat")
        switch status.st_mode & S_IFMT {
        case S_IFIFO: return isAnonymous(number) ? .pipe : .namedPipe
        case S_IFSOCK: return .socket
        case S_IFREG: return .file
        case S_IFBLK: return .device
        case S_IFCHR:
            var name = [CChar](repeating: 0, count: 64)
            if unsafe clibuv_ptsname_r(number, &name, name.count) == 0 { return .terminalController }
            return isatty(number) == 1 ? .terminal : .device
        default: return .other
        }
    }

    private static func isAnonymous(_ number: Int32) -> Bool {
        var target = [CChar](repeating: 0, count: 16)
        let length = unsafe readlink("/proc/self/fd/\(number)", &target, target.count)
        return length > 5 && String(decoding: target.prefix(5).map { UInt8(bitPattern: $0) }, as: UTF8.self) == "pipe:"
    }

    /// Which ways the descriptor was opened for.
    public static func access(of number: Int32) throws(UVError) -> (reads: Bool, writes: Bool) {
        let flags = fcntl(number, F_GETFL)
        try Sockets.check(flags, "fcntl F_GETFL")
        let access = flags & O_ACCMODE
        return (access != O_WRONLY, access != O_RDONLY)
    }

    /// Opens what a descriptor leads to once more: to be non-blocking is then a property of ours alone, and not of all who share that descriptor.
    public static func reopen(_ number: Int32, reads: Bool, writes: Bool) throws(UVError) -> Descriptor {
        try open("/proc/self/fd/\(number)", reads: reads, writes: writes)
    }

    /// Another number for the same; closed on exec. Whether it blocks is shared with the first.
    public static func duplicate(_ number: Int32) throws(UVError) -> Descriptor {
        // Above the standard ones, whichever of those are closed.
        let copy = fcntl(number, F_DUPFD_CLOEXEC, 3)
        try Sockets.check(copy, "fcntl F_DUPFD_CLOEXEC")
        return Descriptor(owning: copy)
    }

    /// Takes over a pipe or a terminal, whose number may go with that: non-blocking, and closed on exec. On an error the number stays the caller's.
    public static func adopt(_ number: Int32, _ kind: DescriptorKind) throws(UVError) -> Descriptor {
        if kind == .pipe || kind == .terminal {
            let access = try access(of: number)
            do throws(UVError) {
                let ours = try reopen(number, reads: access.reads, writes: access.writes)
                Glibc.close(number)
                return ours
            } catch {
                // Not permitted, or a pipe that nobody reads any more: then as it is.
            }
        }
        let flags = fcntl(number, F_GETFL)
        try Sockets.check(flags, "fcntl F_GETFL")
        try Sockets.check(fcntl(number, F_SETFL, flags | O_NONBLOCK), "fcntl F_SETFL")
        try Sockets.check(fcntl(number, F_SETFD, FD_CLOEXEC), "fcntl F_SETFD")
        return Descriptor(owning: number)
    }

    /// Closes a standard descriptor in such a way that its number does not come again: from here on it leads nowhere.
    public static func discard(_ number: Int32) {
        let null = unsafe Glibc.open("/dev/null", O_RDWR | O_CLOEXEC)
        // Without a free descriptor it stays as it is: others have to wait for the end until the process ends.
        if null < 0 || null == number { return }
        dup2(null, number)
        close(null)
    }
}
