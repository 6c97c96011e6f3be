internal import UVCore

/// What is looked up: a host's name, the port or service that the addresses are for, and of which kinds they may be. Prints as `example.com:443`.
///
/// It has been checked when it exists: no ``Resolver`` sees a name that could mean something else to the one than to the other.
public struct HostQuery: Hashable, Sendable, CustomStringConvertible {
    public enum Family: Hashable, Sendable {
        case any, ipv4, ipv6
    }

    public enum Service: Hashable, Sendable {
        /// 0 to 65535.
        case port(UInt16)
        /// A service of `/etc/services`, such as `https`, which says the port.
        case named(String)
    }

    /// Bytes of a name at most, without the dot that may end it; each of its labels has 1 to 63.
    public static let maximumLength = 253
    static let maximumLabelLength = 63

    /// A name, or an address in digits.
    public let host: String
    public let service: Service
    public var family = Family.any
    /// With ``Family/any``, no addresses of a family in which this machine has none itself, apart from its loopback.
    public var onlyUsableFamilies = true
    /// Asks for the name that the host's other names stand for: ``HostAnswer/canonicalName``.
    public var wantsCanonicalName = false

    /// - Parameters:
    ///   - host: a name, or an address in digits (`127.0.0.1`, `::1`, `fe80::1%eth0`). What comes close to an address and is none, such as `127.1` or `0x7f000001`, is no name either.
    ///   - port: 0 to 65535.
    /// - Throws: `LoopError` `.invalidAddress`, before anything is asked: an empty host, one with a zero byte, of more than ``maximumLength`` bytes, or with marks that no name has.
    public init(host: String, port: Int, family: Family = .any) throws {
        guard let number = UInt16(exactly: port) else {
            throw LoopError(.invalidAddress, "resolve", on: "\(host) port \(port)", "a port is a number from 0 to 65535")
        }
        try self.init(host, .port(number), family)
    }

    /// - Parameter service: a name such as `https`, or a port in digits.
    /// - Throws: as ``init(host:port:family:)``; that there is no such service turns out when it is looked up.
    public init(host: String, service: String, family: Family = .any) throws {
        let bytes = service.utf8
        if !bytes.isEmpty && bytes.allSatisfy(isDigit) {
            guard let port = UInt16(service) else {
                throw LoopError(.invalidAddress, "resolve", on: "\(host) port \(service)", "a port is a number from 0 to 65535")
            }
            try self.init(host, .port(port), family)
            return
        }
        // Not a sign in front of a number either, which getaddrinfo would take for the number.
        guard let first = bytes.first, isDigit(first) || isLetter(first), bytes.count <= HostQuery.maximumLabelLength,
            bytes.allSatisfy({ $0 > 32 && $0 < 127 })
        else {
            throw LoopError(.invalidAddress, "resolve", on: "service '\(service)'", "a service is a port in digits, or a name of letters such as https")
        }
        try self.init(host, .named(service), family)
    }

    private init(_ host: String, _ service: Service, _ family: Family) throws {
        if case .failure(let complaint) = HostQuery.check(host) {
            throw LoopError(.invalidAddress, "resolve", on: "'\(String(host.prefix(300)))'", complaint.text)
        }
        self.host = host
        self.service = service
        self.family = family
    }

    public var description: String {
        let shown = host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]" : host
        return switch service {
        case .port(let port): "\(shown):\(port)"
        case .named(let name): "\(shown):\(name)"
        }
    }

    /// The answer that needs no asking: an address in digits is itself, and `localhost`, with all names below it, is this machine (RFC 6761). Nil for all else.
    ///
    /// Empty for an address of another family than the one that was asked for.
    var ownAnswer: HostAnswer? {
        guard case .port(let port) = service else { return nil }
        var addresses: [SocketAddress]
        if isLocalhost {
            addresses = [.loopbackIPv6(port: port), .loopback(port: port)]
        } else if let name = SocketName(host: host, port: port) {
            addresses = [SocketAddress(name)]
        } else {
            return nil
        }
        addresses.removeAll { !matches($0) }
        return HostAnswer(addresses: addresses, canonicalName: wantsCanonicalName ? host : nil)
    }

    private var isLocalhost: Bool {
        let name = host.hasSuffix(".") ? host.dropLast().lowercased() : host.lowercased()
        return name == "localhost" || name.hasSuffix(".localhost")
    }

    func matches(_ address: SocketAddress) -> Bool {
        switch family {
        case .any: true
        case .ipv4: !address.isIPv6
        case .ipv6: address.isIPv6
        }
    }

    // MARK: what may be a host

    private struct Complaint: Error {
        let text: String
        init(_ text: String) { self.text = text }
    }

    private static func check(_ host: String) -> Result<Void, Complaint> {
        if host.utf8.isEmpty { return .failure(Complaint("a host has a name, or an address in digits; this is neither")) }
        if host.utf8.contains(0) { return .failure(Complaint("no name has a zero byte in it")) }
        if SocketName(host: host, port: 0) != nil { return .success(()) }
        var name = host.utf8[...]
        // The dot of the root.
        if name.last == UInt8(ascii: ".") { name = name.dropLast() }
        if name.count > maximumLength { return .failure(Complaint("the name has \(name.count) bytes, and one has \(maximumLength) at most")) }
        if let mark = name.first(where: { $0 <= 32 || $0 == 127 || forbidden.contains($0) }) {
            let shown = mark > 32 && mark < 127 ? String(UnicodeScalar(mark)) : "a control character or space"
            return .failure(Complaint("no name has \(shown) in it, and it is no address in digits (127.0.0.1, ::1, fe80::1%eth0) of this machine either"))
        }
        let labels = name.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        if let label = labels.first(where: { $0.isEmpty || $0.count > maximumLabelLength }) {
            return .failure(Complaint("between its dots a name has 1 to \(maximumLabelLength) bytes, and here are \(label.count)"))
        }
        // What an old C library would take for an address, in octal, in hexadecimal, or with parts left out.
        if let last = labels.last, last.allSatisfy(isDigit) || isHexadecimal(last) {
            return .failure(Complaint("no name ends in a number, and as an address it is incomplete: write all four parts, in decimal"))
        }
        return .success(())
    }

    /// What URLs and addresses are taken apart at.
    private static let forbidden = Set(":%/\\[]@#?<>^|".utf8)

    private static func isHexadecimal(_ label: Substring.UTF8View) -> Bool {
        guard label.first == UInt8(ascii: "0"), let mark = label.dropFirst().first, mark | 0x20 == UInt8(ascii: "x") else { return false }
        return label.dropFirst(2).allSatisfy { isDigit($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0 | 0x20) }
    }
}

private func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) }

private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
