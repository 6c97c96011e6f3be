internal import CLibUV
internal import Glibc

/// What a descriptor of unknown origin is.
public struct SocketFacts: Sendable {
    public enum Family: Sendable { case ip, unix, other }
    public enum Kind: Sendable { case stream, datagram, other }

    public let family: Family
    public let kind: Kind
    public let isListening: Bool
    public let isConnected: Bool

    /// - Throws: ENOTSOCK, EBADF.
    public init(_ number: Int32) throws(UVError) {
        switch try Sockets.number(SO_DOMAIN, of: number, "getsockopt SO_DOMAIN") {
        case AF_INET, AF_INET6: family = .ip
        case AF_UNIX: family = .unix
        default: family = .other
        }
        switch try Sockets.number(SO_TYPE, of: number, "getsockopt SO_TYPE") {
        case Int32(SOCK_STREAM.rawValue): kind = .stream
        case Int32(SOCK_DGRAM.rawValue): kind = .datagram
        default: kind = .other
        }
        isListening = try Sockets.number(SO_ACCEPTCONN, of: number, "getsockopt SO_ACCEPTCONN") != 0
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        // SAFETY: `storage` is as long as `length` says; the pointer is not kept.
        let result = unsafe withUnsafeMutableBytes(of: &storage) {
            unsafe getpeername(number, $0.assumingMemoryBound(to: sockaddr.self).baseAddress.unsafelyUnwrapped, &length)
        }
        isConnected = result == 0
    }
}

extension Sockets {
    static func number(_ option: Int32, of descriptor: Int32, _ call: String) throws(UVError) -> Int32 {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        try check(unsafe getsockopt(descriptor, SOL_SOCKET, option, &value, &length), call)
        return value
    }
}
