internal import UVCore

/// What a Unix socket is bound to: a file, a name of Linux's abstract namespace, or nothing, as most clients are.
///
/// Prints as `/run/app.sock`, `@name` and `(unnamed)`, and reads what it prints. In print, bytes that are no text stand as `\x1f`, a backslash as `\\`; a path
/// that begins with `@` or `(` has a backslash before it.
public struct UnixAddress: Hashable, Sendable, LosslessStringConvertible {
    let name: UnixName

    init(_ name: UnixName) { self.name = name }

    /// Bytes of a path, or of an abstract name without its mark, at most: the system has room for no more.
    public static let maximumLength = UnixName.maximumLength

    /// Bound to nothing.
    public static let unnamed = UnixAddress(.unnamed)

    /// A path of the file system, taken as it is: nothing is escaped, resolved or shortened.
    ///
    /// - Parameter path: 1 to 107 bytes of UTF-8. A relative one depends on the process's working directory.
    /// - Throws: `LoopError` `.invalidAddress` for one that is empty, too long, or has a zero byte in it.
    public init(path: String) throws {
        let bytes = [UInt8](path.utf8)
        guard let name = UnixName(path: bytes) else {
            let advice: String
            if bytes.isEmpty {
                advice = "a path has at least one byte"
            } else if bytes.contains(0) {
                advice = "a path cannot have a zero byte in it: an abstract name is made by UnixAddress(abstract:)"
            } else {
                advice = "the path has \(bytes.count) bytes, and a socket's path at most \(UnixAddress.maximumLength): put it in a folder with a shorter name"
            }
            throw LoopError(.invalidAddress, "UnixAddress", on: "'\(Escaped.text(bytes))'", advice)
        }
        self.name = name
    }

    /// A name in Linux's abstract namespace: it belongs to no file, and is free again when its socket is closed. Any process of the same network namespace may
    /// connect to it; there are no permissions.
    ///
    /// - Parameter name: 1 to 107 bytes, without the `@` that only stands for it in print.
    /// - Throws: `LoopError` `.invalidAddress` for one that is empty or too long.
    public init(abstract name: String) throws {
        let bytes = [UInt8](name.utf8)
        guard let name = UnixName(abstract: bytes) else {
            throw LoopError(
                .invalidAddress, "UnixAddress", on: "'@\(Escaped.text(bytes))'",
                "the name has \(bytes.count) bytes, and an abstract one 1 to \(UnixAddress.maximumLength)")
        }
        self.name = name
    }

    /// Reads what ``description`` prints: a path, `@` and an abstract name, or `(unnamed)`.
    ///
    /// - Throws: `LoopError` `.invalidAddress`.
    public init(parsing text: String) throws {
        if text == UnixAddress.unnamedText {
            name = .unnamed
            return
        }
        guard let bytes = Escaped.bytes(text) else {
            throw LoopError(.invalidAddress, "UnixAddress", on: "'\(text)'", "a backslash is followed by one more, by a mark, or by x and two digits: \\x1f")
        }
        let parsed = text.utf8.first == UInt8(ascii: "@") ? UnixName(abstract: [UInt8](bytes.dropFirst())) : UnixName(path: bytes)
        guard let parsed else {
            throw LoopError(
                .invalidAddress, "UnixAddress", on: "'\(text)'",
                "a path, or @ and an abstract name, has 1 to \(UnixAddress.maximumLength) bytes, and a path no zero among them")
        }
        name = parsed
    }

    /// As ``init(parsing:)``; nil where that throws.
    public init?(_ description: String) {
        do { try self.init(parsing: description) } catch { return nil }
    }

    /// The path, if it is one; bytes that are no UTF-8 are replaced (``bytes`` has them).
    public var path: String? { name.kind == .path ? String(decoding: name.bytes, as: UTF8.self) : nil }

    /// The abstract name without its mark, if it is one; bytes that are no UTF-8 are replaced (``bytes`` has them).
    public var abstractName: String? { name.kind == .abstract ? String(decoding: name.bytes, as: UTF8.self) : nil }

    public var isUnnamed: Bool { name.kind == .unnamed }

    /// The path or the abstract name, exactly.
    public var bytes: [UInt8] { name.bytes }

    public var description: String {
        switch name.kind {
        case .unnamed: return UnixAddress.unnamedText
        case .abstract: return "@" + Escaped.text(name.bytes)
        case .path:
            let text = Escaped.text(name.bytes)
            // By the byte: a mark that the next character combines with would not be a prefix.
            return [UInt8(ascii: "@"), UInt8(ascii: "(")].contains(name.bytes.first) ? "\\" + text : text
        }
    }

    private static let unnamedText = "(unnamed)"
}

extension UnixAddress: Codable {
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        try self.init(parsing: text)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// Bytes as text that says exactly which they are.
private enum Escaped {
    static func text(_ bytes: [UInt8]) -> String {
        if let whole = String(validating: bytes, as: UTF8.self), whole.unicodeScalars.allSatisfy(isPlain) { return whole }
        var text = ""
        var rest = bytes[...]
        while let byte = rest.first {
            // The longest a character can be is four bytes; no two of its prefixes are valid.
            let scalar = (1...4).lazy.compactMap { length -> Unicode.Scalar? in
                guard let scalars = String(validating: rest.prefix(length), as: UTF8.self)?.unicodeScalars, scalars.count == 1 else { return nil }
                return scalars.first
            }.first
            if let scalar, isPlain(scalar) {
                text.unicodeScalars.append(scalar)
                rest = rest.dropFirst(UTF8.width(scalar))
            } else if byte == UInt8(ascii: "\\") {
                text += "\\\\"
                rest = rest.dropFirst()
            } else {
                text += byte < 16 ? "\\x0" : "\\x"
                text += String(byte, radix: 16)
                rest = rest.dropFirst()
            }
        }
        return text
    }

    private static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
        if scalar == "\\" { return false }
        switch scalar.properties.generalCategory {
        // A line of a log must stay one, and say what it says.
        case .control, .format, .lineSeparator, .paragraphSeparator: return false
        default: return true
        }
    }

    static func bytes(_ text: String) -> [UInt8]? {
        if !text.utf8.contains(UInt8(ascii: "\\")) { return [UInt8](text.utf8) }
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\") else {
                bytes.append(byte)
                continue
            }
            switch rest.popFirst() {
            case UInt8(ascii: "x"):
                guard let first = rest.popFirst().flatMap(digit), let second = rest.popFirst().flatMap(digit) else { return nil }
                bytes.append(first << 4 | second)
            case let mark? where [UInt8(ascii: "\\"), UInt8(ascii: "@"), UInt8(ascii: "(")].contains(mark): bytes.append(mark)
            default: return nil
            }
        }
        return bytes
    }

    private static func digit(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
