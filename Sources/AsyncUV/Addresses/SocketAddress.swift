internal import UVCore

/// An IPv4 or IPv6 address with a port. Prints as `127.0.0.1:80`, `[::1]:80` and `[fe80::1%eth0]:80`, and reads what it prints.
///
/// Never a name: those are looked up by a ``Resolver``.
public struct SocketAddress: Hashable, Sendable, LosslessStringConvertible {
    let name: SocketName

    init(_ name: SocketName) { self.name = name }

    /// - Parameters:
    ///   - host: an address in digits, such as `127.0.0.1`, `::1` or `fe80::1%eth0`; or `localhost`, which is 127.0.0.1. Other names are not looked up.
    ///   - port: 0 to 65535; to listen, 0 is any free one.
    /// - Throws: `LoopError` `.invalidAddress`.
    public init(host: String, port: Int) throws {
        guard let port = UInt16(exactly: port) else {
            throw LoopError(.invalidAddress, "SocketAddress", on: "\(host) port \(port)", "a port is a number from 0 to 65535")
        }
        guard let name = SocketName(host: host == "localhost" ? "127.0.0.1" : host, port: port) else {
            throw LoopError(
                .invalidAddress, "SocketAddress", on: "'\(host)'",
                "not an IP address: give one in digits (127.0.0.1, ::1, fe80::1%eth0) or 'localhost'; other names are not looked up")
        }
        self.name = name
    }

    /// From the bytes of an address, as they are sent: 4 of IPv4, or 16 of IPv6.
    ///
    /// - Parameter zone: the number of the interface that a link-local IPv6 address is meant on; 0 is none.
    /// - Throws: `LoopError` `.invalidAddress`.
    public init(bytes: [UInt8], port: Int, zone: Int = 0) throws {
        guard let port = UInt16(exactly: port), let scope = UInt32(exactly: zone), bytes.count == 16 || (bytes.count == 4 && zone == 0) else {
            throw LoopError(
                .invalidAddress, "SocketAddress", on: "\(bytes) port \(port)",
                "an address has 4 or 16 bytes, a port is 0 to 65535, and only IPv6 has a zone")
        }
        let words = bytes.indices.reduce(into: (high: UInt64(0), low: UInt64(0))) { words, index in
            words.high = words.high << 8 | words.low >> 56
            words.low = words.low << 8 | UInt64(bytes[index])
        }
        name = SocketName(isIPv6: bytes.count == 16, high: words.high, low: words.low, port: port, scope: scope)
    }

    /// Reads what ``description`` prints. Both parts must be there: there is no default port.
    ///
    /// - Throws: `LoopError` `.invalidAddress`.
    public init(parsing text: String) throws {
        guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")), let port = SocketAddress.port(text[text.utf8.index(after: colon)...]) else {
            throw LoopError(.invalidAddress, "SocketAddress", on: "'\(text)'", "an address with its port is written 127.0.0.1:80 or [::1]:80")
        }
        var host = text.utf8[..<colon]
        let isBracketed = host.first == UInt8(ascii: "[") && host.last == UInt8(ascii: "]") && host.count > 2
        if isBracketed { host = host.dropFirst().dropLast() }
        if isBracketed != host.contains(UInt8(ascii: ":")) {
            throw LoopError(.invalidAddress, "SocketAddress", on: "'\(text)'", "an IPv6 address, and no other, stands in brackets: [::1]:80")
        }
        // Neither a bracket nor a colon is part of a longer character in UTF-8.
        try self.init(host: String(decoding: host, as: UTF8.self), port: port)
    }

    /// As ``init(parsing:)``; nil where that throws.
    public init?(_ description: String) {
        do { try self.init(parsing: description) } catch { return nil }
    }

    /// Digits only, where Int would take a sign.
    private static func port(_ text: Substring) -> Int? {
        text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int(text) : nil
    }

    // MARK: well-known addresses

    /// `0.0.0.0`: to listen on all IPv4 addresses of the machine.
    public static func anyIPv4(port: UInt16 = 0) -> SocketAddress { four(0, port) }

    /// `[::]`: to listen on all IPv6 addresses of the machine, and no IPv4 one.
    public static func anyIPv6(port: UInt16 = 0) -> SocketAddress { SocketAddress(SocketName(isIPv6: true, high: 0, low: 0, port: port)) }

    /// `127.0.0.1`: this machine, for itself alone.
    public static func loopback(port: UInt16 = 0) -> SocketAddress { four(0x7f00_0001, port) }

    /// `[::1]`: as ``loopback(port:)``, in IPv6.
    public static func loopbackIPv6(port: UInt16 = 0) -> SocketAddress { SocketAddress(SocketName(isIPv6: true, high: 0, low: 1, port: port)) }

    private static func four(_ number: UInt64, _ port: UInt16) -> SocketAddress {
        SocketAddress(SocketName(isIPv6: false, high: 0, low: number, port: port))
    }

    // MARK: parts

    /// The address without its port, in digits; of a link-local IPv6 address with its interface: `fe80::1%eth0`.
    public var host: String { name.host }
    public var port: Int { Int(name.port) }
    public var isIPv6: Bool { name.isIPv6 }

    /// The number of the interface that a link-local IPv6 address is meant on; 0 is none.
    public var zone: Int { Int(name.scope) }

    /// The address as it is sent: 4 bytes of IPv4, 16 of IPv6.
    public var bytes: [UInt8] {
        let all = [name.high, name.low].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * $0)) } }
        return isIPv6 ? all : [UInt8](all.suffix(4))
    }

    public func with(port: UInt16) -> SocketAddress {
        var name = name
        name.port = port
        return SocketAddress(name)
    }

    public var description: String { isIPv6 ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

extension SocketAddress {
    // MARK: what kind of address it is. An IPv4 address that is written in IPv6 is what the IPv4 address is.

    /// An IPv4 address that is written in IPv6: `::ffff:127.0.0.1`. A dual-stack socket names its IPv4 peers so.
    public var isIPv4Mapped: Bool { isIPv6 && name.high == 0 && name.low >> 32 == 0xffff }

    /// The IPv4 address of one that ``isIPv4Mapped``; all others as they are. To compare peers, and to look them up in a list.
    public var unmapped: SocketAddress { isIPv4Mapped ? SocketAddress.four(name.low & 0xffff_ffff, name.port) : self }

    /// Address and port are the same, whether or not an IPv4 address is written as one of IPv6, and whatever the zone.
    func isSameEndpoint(as other: SocketAddress) -> Bool {
        let one = unmapped.name, two = other.unmapped.name
        return one.high == two.high && one.low == two.low && one.port == two.port
    }

    /// `0.0.0.0` or `::`.
    public var isUnspecified: Bool { unmapped.name.high == 0 && unmapped.name.low == 0 }

    /// `127.0.0.0/8` or `::1`.
    public var isLoopback: Bool { matches(four: { $0 >> 24 == 127 }, six: { $0.high == 0 && $0.low == 1 }) }

    /// `224.0.0.0/4` or `ff00::/8`.
    public var isMulticast: Bool { matches(four: { $0 >> 28 == 0xe }, six: { $0.high >> 56 == 0xff }) }

    /// `255.255.255.255`. IPv6 has none.
    public var isBroadcast: Bool { matches(four: { $0 == 0xffff_ffff }, six: { _ in false }) }

    /// `169.254.0.0/16` or `fe80::/10`: valid on one link only.
    public var isLinkLocal: Bool { matches(four: { $0 >> 16 == 0xa9fe }, six: { $0.high >> 54 == 0x3fa }) }

    /// `10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16` or `fc00::/7`: given out freely inside a network, and unknown outside.
    public var isPrivate: Bool {
        matches(four: { $0 >> 24 == 10 || $0 >> 20 == 0xac1 || $0 >> 16 == 0xc0a8 }, six: { $0.high >> 57 == 0x7e })
    }

    private func matches(four: (UInt64) -> Bool, six: (SocketName) -> Bool) -> Bool {
        let name = unmapped.name
        return name.isIPv6 ? six(name) : four(name.low)
    }
}

extension SocketAddress: Comparable {
    /// IPv4 before IPv6, then by address, zone and port, as numbers.
    public static func < (left: SocketAddress, right: SocketAddress) -> Bool {
        left.rank.lexicographicallyPrecedes(right.rank)
    }

    private var rank: [UInt64] { [isIPv6 ? 1 : 0, name.high, name.low, UInt64(name.scope), UInt64(name.port)] }
}

extension SocketAddress: Codable {
    /// Reads its text, as ``init(parsing:)`` does.
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        try self.init(parsing: text)
    }

    /// Writes ``description``. A zone is written by its interface's name, which means something on this machine only.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
