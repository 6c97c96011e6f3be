internal import CLibUV
internal import Glibc

/// An IP address and port as plain data: what the fence takes and gives instead of a `sockaddr`.
public struct SocketName: Hashable, Sendable {
    public var isIPv6: Bool
    /// The address as a number: IPv6 in both words, IPv4 in the low 32 bits of `low`.
    public var high: UInt64
    public var low: UInt64
    public var port: UInt16
    public var flow: UInt32 = 0
    public var scope: UInt32 = 0

    public init(isIPv6: Bool, high: UInt64, low: UInt64, port: UInt16) {
        self.isIPv6 = isIPv6
        self.high = high
        self.low = low
        self.port = port
    }

    /// Parses an address without its port; an IPv6 one may name its interface (`fe80::1%eth0`). Nil if it is none.
    public init?(host: String, port: UInt16) {
        // A C string ends at its first zero: what stands behind it must not be dropped in silence.
        if host.utf8.contains(0) { return nil }
        var four = sockaddr_in()
        var six = sockaddr_in6()
        if unsafe uv_ip4_addr(host, Int32(port), &four) == 0 {
            self = SocketName(four)
        } else if unsafe uv_ip6_addr(host, Int32(port), &six) == 0 {
            self = SocketName(six)
            // libuv takes an interface that does not exist for none at all.
            if scope == 0 && host.contains("%") { return nil }
        } else {
            return nil
        }
    }

    /// The address without its port, as one writes it; an IPv6 one with its interface, if it has one.
    public var host: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        // Neither can fail: the text has room for the longest address.
        if isIPv6 {
            var address = six
            unsafe _ = uv_ip6_name(&address, &text, text.count)
        } else {
            var address = four
            unsafe _ = uv_ip4_name(&address, &text, text.count)
        }
        let name = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if scope == 0 { return name }
        var interface = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        guard unsafe if_indextoname(scope, &interface) != nil else { return "\(name)%\(scope)" }
        return name + "%" + String(decoding: interface.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    // MARK: to and from the system's structures

    init(_ address: sockaddr_in) {
        self.init(isIPv6: false, high: 0, low: UInt64(UInt32(bigEndian: address.sin_addr.s_addr)), port: UInt16(bigEndian: address.sin_port))
    }

    init(_ address: sockaddr_in6) {
        // SAFETY: an in6_addr is 16 bytes, whichever way C looks at them.
        let words = unsafe unsafeBitCast(address.sin6_addr, to: (UInt64, UInt64).self)
        self.init(isIPv6: true, high: UInt64(bigEndian: words.0), low: UInt64(bigEndian: words.1), port: UInt16(bigEndian: address.sin6_port))
        flow = UInt32(bigEndian: address.sin6_flowinfo)
        scope = address.sin6_scope_id
    }

    private var four: sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(truncatingIfNeeded: low).bigEndian
        return address
    }

    private var six: sockaddr_in6 {
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.bigEndian
        address.sin6_flowinfo = flow.bigEndian
        address.sin6_scope_id = scope
        // SAFETY: as in the init.
        address.sin6_addr = unsafe unsafeBitCast((high.bigEndian, low.bigEndian), to: in6_addr.self)
        return address
    }

    /// Nil if the system gave something else than an IP address.
    init?(_ storage: sockaddr_storage) {
        // SAFETY: a sockaddr_storage has room for, and the alignment of, each of them; the family says which one it is.
        switch Int32(storage.ss_family) {
        case AF_INET: self.init(unsafe withUnsafeBytes(of: storage) { unsafe $0.load(as: sockaddr_in.self) })
        case AF_INET6: self.init(unsafe withUnsafeBytes(of: storage) { unsafe $0.load(as: sockaddr_in6.self) })
        default: return nil
        }
    }

    var family: Int32 { isIPv6 ? AF_INET6 : AF_INET }

    func withSystemAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        // SAFETY: every sockaddr_… begins as a sockaddr does, and its length goes with it.
        if isIPv6 {
            return unsafe withUnsafeBytes(of: six) {
                unsafe body($0.assumingMemoryBound(to: sockaddr.self).baseAddress.unsafelyUnwrapped, socklen_t($0.count))
            }
        }
        return unsafe withUnsafeBytes(of: four) {
            unsafe body($0.assumingMemoryBound(to: sockaddr.self).baseAddress.unsafelyUnwrapped, socklen_t($0.count))
        }
    }
}
