internal import UVCore

/// An IPv4 or IPv6 address with a port. Prints as `127.0.0.1:80` and `[::1]:80`.
public struct SocketAddress: Hashable, Sendable, CustomStringConvertible {
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

    /// Reads what ``description`` prints.
    ///
    /// - Throws: `LoopError` `.invalidAddress`.
    public init(parsing text: String) throws {
        guard let colon = text.lastIndex(of: ":"), let port = SocketAddress.port(text[text.index(after: colon)...]) else {
            throw LoopError(.invalidAddress, "SocketAddress", on: "'\(text)'", "an address with its port is written 127.0.0.1:80 or [::1]:80")
        }
        var host = text[..<colon]
        let isBracketed = host.first == "[" && host.last == "]" && host.count > 2
        if isBracketed { host = host.dropFirst().dropLast() }
        if isBracketed != host.contains(":") {
            throw LoopError(.invalidAddress, "SocketAddress", on: "'\(text)'", "an IPv6 address, and no other, stands in brackets: [::1]:80")
        }
        try self.init(host: String(host), port: port)
    }

    /// Digits only, where Int would take a sign.
    private static func port(_ text: Substring) -> Int? {
        text.allSatisfy { $0.isASCII && $0.isNumber } ? Int(text) : nil
    }

    /// The address without its port, in digits.
    public var host: String { name.host }
    public var port: Int { Int(name.port) }
    public var isIPv6: Bool { name.isIPv6 }

    public var description: String { isIPv6 ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
