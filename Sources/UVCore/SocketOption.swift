internal import Glibc

/// What can be set on a connected socket: socket(7), tcp(7).
public enum SocketOption: Hashable, Sendable {
    /// TCP_NODELAY: small writes do not wait for acknowledgements.
    case noDelay(Bool)
    /// SO_KEEPALIVE with TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT.
    case keepAlive(idleSeconds: Int32, intervalSeconds: Int32, probes: Int32)
    case noKeepAlive
    /// SO_LINGER; nil for the usual: the system sends what is left, on its own.
    case linger(seconds: Int32?)
    /// SO_SNDBUF and SO_RCVBUF; the system uses twice the number, and no more than net.core.wmem_max and rmem_max.
    case sendBuffer(bytes: Int32)
    case receiveBuffer(bytes: Int32)
    /// TCP_USER_TIMEOUT: so long may written data stay without an acknowledgement.
    case userTimeout(milliseconds: Int32)
}

extension Sockets {
    public static func set(_ option: SocketOption, on descriptor: Int32) throws(UVError) {
        switch option {
        case .noDelay(let on): try set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, on ? 1 : 0, "setsockopt TCP_NODELAY")
        case .keepAlive(let idle, let interval, let probes):
            try set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPIDLE, idle, "setsockopt TCP_KEEPIDLE")
            try set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPINTVL, interval, "setsockopt TCP_KEEPINTVL")
            try set(descriptor, Int32(IPPROTO_TCP), TCP_KEEPCNT, probes, "setsockopt TCP_KEEPCNT")
            try set(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1, "setsockopt SO_KEEPALIVE")
        case .noKeepAlive: try set(descriptor, SOL_SOCKET, SO_KEEPALIVE, 0, "setsockopt SO_KEEPALIVE")
        case .linger(let seconds):
            var value = Glibc.linger(l_onoff: seconds == nil ? 0 : 1, l_linger: seconds ?? 0)
            try check(unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<Glibc.linger>.size)), "setsockopt SO_LINGER")
        case .sendBuffer(let bytes): try set(descriptor, SOL_SOCKET, SO_SNDBUF, bytes, "setsockopt SO_SNDBUF")
        case .receiveBuffer(let bytes): try set(descriptor, SOL_SOCKET, SO_RCVBUF, bytes, "setsockopt SO_RCVBUF")
        case .userTimeout(let milliseconds):
            try set(descriptor, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, milliseconds, "setsockopt TCP_USER_TIMEOUT")
        }
    }

    private static func value(of level: Int32, _ name: Int32, on descriptor: Int32, _ call: String) throws(UVError) -> Int32 {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        try check(unsafe getsockopt(descriptor, level, name, &value, &length), call)
        return value
    }

    /// What the system uses, in bytes, its own bookkeeping included.
    public static func sendBufferSize(of descriptor: Int32) throws(UVError) -> Int {
        Int(try value(of: SOL_SOCKET, SO_SNDBUF, on: descriptor, "getsockopt SO_SNDBUF"))
    }

    public static func receiveBufferSize(of descriptor: Int32) throws(UVError) -> Int {
        Int(try value(of: SOL_SOCKET, SO_RCVBUF, on: descriptor, "getsockopt SO_RCVBUF"))
    }

    static func set(_ descriptor: Int32, _ level: Int32, _ name: Int32, _ value: Int32, _ call: String) throws(UVError) {
        var value = value
        try check(unsafe setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size)), call)
    }
}
