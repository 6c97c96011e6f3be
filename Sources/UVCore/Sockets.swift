internal import CLibUV
internal import Glibc

/// The socket calls that are made without libuv: where its own way would lose a connection, spin, or hide an error.
public enum Sockets {
    public enum Accepted: ~Copyable {
        case connection(Descriptor, peer: SocketName)
        case failed(UVError)
    }

    /// A listening socket: non-blocking, closed on exec, not dual-stack. What it accepts inherits its TCP_NODELAY.
    public static func listen(on name: SocketName, backlog: Int32, reusePort: Bool = false) throws(UVError) -> Descriptor {
        let descriptor = try open(name)
        if reusePort { try set(descriptor, SOL_SOCKET, SO_REUSEPORT, "setsockopt SO_REUSEPORT") }
        try set(descriptor, SOL_SOCKET, SO_REUSEADDR, "setsockopt SO_REUSEADDR")
        if name.isIPv6 { try set(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, "setsockopt IPV6_V6ONLY") }
        try set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, "setsockopt TCP_NODELAY")
        try check(unsafe name.withSystemAddress { unsafe bind(descriptor.number, $0, $1) }, "bind")
        try check(Glibc.listen(descriptor.number, backlog), "listen")
        return descriptor
    }

    /// Takes one connection out of the backlog, if there is one. The descriptor is non-blocking and closed on exec.
    public static func accept(_ listener: Int32) -> Accepted {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        // SAFETY: `storage` is as long as `length` says; the pointer is not kept.
        let number = unsafe withUnsafeMutableBytes(of: &storage) {
            unsafe clibuv_accept4(
                listener, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, &length,
                Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
        }
        if number < 0 { return .failed(UVError(code: -errno, call: "accept4")) }
        return .connection(Descriptor(owning: number), peer: SocketName(storage) ?? SocketName(isIPv6: false, high: 0, low: 0, port: 0))
    }

    /// Whether `accept` would find a connection. Without a free descriptor accept4 fails before it looks.
    public static func hasConnection(_ listener: Int32) -> Bool {
        var question = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        // An error is left to `accept`, which can say what it was.
        return unsafe poll(&question, 1, 0) != 0
    }

    public enum Connecting: ~Copyable {
        case connected(Descriptor)
        /// The socket becomes writable when `pendingError` knows the outcome.
        case underWay(Descriptor)
    }

    /// A non-blocking socket on its way to `name`, or there already.
    ///
    /// - Parameter local: what the socket is bound to before; with port 0 the system chooses one when it connects.
    public static func connect(to name: SocketName, from local: SocketName? = nil) throws(UVError) -> Connecting {
        let descriptor = try open(name)
        if let local {
            try set(descriptor, SOL_SOCKET, SO_REUSEADDR, "setsockopt SO_REUSEADDR")
            if local.port == 0 { try set(descriptor, Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, "setsockopt IP_BIND_ADDRESS_NO_PORT") }
            try check(unsafe local.withSystemAddress { unsafe bind(descriptor.number, $0, $1) }, "bind")
        }
        try set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, "setsockopt TCP_NODELAY")
        // Interrupted, the attempt goes on by itself, as it does when it would block.
        let result = unsafe name.withSystemAddress { unsafe Glibc.connect(descriptor.number, $0, $1) }
        if result == 0 { return .connected(descriptor) }
        if errno == EINPROGRESS || errno == EINTR { return .underWay(descriptor) }
        throw UVError(code: -errno, call: "connect")
    }

    /// What has gone wrong on a socket since one looked last; nil if nothing has.
    public static func pendingError(_ descriptor: Int32) -> UVError? {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        if unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) != 0 { return UVError(code: -errno, call: "getsockopt SO_ERROR") }
        return code == 0 ? nil : UVError(code: -code, call: "connect")
    }

    /// The address that a socket is bound to.
    public static func localName(_ descriptor: Int32) throws(UVError) -> SocketName {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        // SAFETY: as in `accept`.
        try check(
            unsafe withUnsafeMutableBytes(of: &storage) {
                unsafe getsockname(descriptor, $0.assumingMemoryBound(to: sockaddr.self).baseAddress.unsafelyUnwrapped, &length)
            }, "getsockname")
        guard let name = SocketName(storage) else { throw UVError(code: UV_EAFNOSUPPORT.rawValue, call: "getsockname") }
        return name
    }

    /// From here on, closing the socket breaks the connection off (RST) instead of ending it.
    static func resetOnClose(_ descriptor: Int32) {
        var value = linger(l_onoff: 1, l_linger: 0)
        // Fails only on what is no socket; then close is all there is.
        unsafe _ = setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
    }

    public static func shutdownWriting(_ descriptor: Int32) throws(UVError) {
        try check(shutdown(descriptor, Int32(SHUT_WR)), "shutdown")
    }

    private static func open(_ name: SocketName) throws(UVError) -> Descriptor {
        let number = socket(name.family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        try check(number, "socket")
        return Descriptor(owning: number)
    }

    static func set(_ descriptor: borrowing Descriptor, _ level: Int32, _ option: Int32, _ call: String) throws(UVError) {
        var on: Int32 = 1
        try check(unsafe setsockopt(descriptor.number, level, option, &on, socklen_t(MemoryLayout<Int32>.size)), call)
    }

    /// For calls that report through errno.
    static func check(_ result: Int32, _ call: String) throws(UVError) {
        if result < 0 { throw UVError(code: -errno, call: call) }
    }
}
