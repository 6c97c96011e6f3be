internal import CLibUV
internal import Glibc

/// An IP address and port as plain data: what the fence takes and gives instead of a `sockaddr`.
public struct SocketName: Hashable, Sendable {
    public var isIPv6: Bool
    /// The address as a number: IPv6 in both words, IPv4 in the low 32 bits of `low`.
    public var high: UInt64
    public var low: UInt64
    public var port: UInt16
    /// The number of the interface that a link-local IPv6 address is meant on; 0 is none.
    ///
    /// The flow label is no part of the name: it tells packets apart, not places, and two names of one place must be equal.
    public var scope: UInt32

    public init(isIPv6: Bool, high: UInt64, low: UInt64, port: UInt16, scope: UInt32 = 0) {
        self.isIPv6 = isIPv6
        self.high = high
        self.low = low
        self.port = port
        self.scope = scope
    }

    /// Parses an address without its port; an IPv6 one may name its interface, or give its number (`fe80::1%eth0`, `fe80::1%2`). Nil if it is none, or if there is no
    /// such interface.
    public init?(host: String, port: UInt16) {
        // A C string ends at its first zero: what stands behind it must not be dropped in silence.
        if host.utf8.contains(0) { return nil }
        let parts = host.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        // libuv cuts off what is longer than an address, and takes an interface that does not exist for none: it is shown the address alone.
        guard let digits = parts.first, digits.utf8.count < Int(INET6_ADDRSTRLEN) else { return nil }
        var four = sockaddr_in()
        var six = sockaddr_in6()
        if unsafe uv_ip6_addr(String(digits), Int32(port), &six) == 0 {
            self = SocketName(six)
            if parts.count == 2 {
                guard let interface = SocketName.interface(String(parts[1])) else { return nil }
                scope = interface
            }
        } else if unsafe uv_ip4_addr(host, Int32(port), &four) == 0 {
            self = SocketName(four)
        } else {
            return nil
        }
    }

    /// The address without its port, as one writes it; an IPv6 one with its interface, if it has one.
    public var host: String {
        if scope == 0 { return digits }
        return digits + "%" + (SocketName.interfaceName(scope) ?? String(scope))
    }

    private var digits: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        // Neither can fail: the text has room for the longest address.
        if isIPv6 {
            var address = six
            unsafe _ = uv_ip6_name(&address, &text, text.count)
        } else {
            var address = four
            unsafe _ = uv_ip4_name(&address, &text, text.count)
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The number of an interface that exists, by its name; or any number but 0, in digits without leading zeros, as it is printed when its interface has gone.
    private static func interface(_ text: String) -> UInt32? {
        let index = unsafe if_nametoindex(text)
        if index != 0 { return index }
        guard let number = UInt32(text), number != 0, String(number) == text else { return nil }
        return number
    }

    /// Nil if there is no such interface now.
    public static func interfaceName(_ index: UInt32) -> String? {
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        guard unsafe if_indextoname(index, &name) != nil else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    // MARK: to and from the system's structures

    init(_ address: sockaddr_in) {
        self.init(isIPv6: false, high: 0, low: UInt64(UInt32(bigEndian: address.sin_addr.s_addr)), port: UInt16(bigEndian: address.sin_port))
    }

    init(_ address: sockaddr_in6) {
        // SAFETY: an in6_addr is 16 bytes, whichever way C looks at them.
        let words = unsafe unsafeBitCast(address.sin6_addr, to: (UInt64, UInt64).self)
        self.init(isIPv6: true, high: UInt64(bigEndian: words.0), low: UInt64(bigEndian: words.1), port: UInt16(bigEndian: address.sin6_port))
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
