/// A domain name. Two names are equal if they differ in nothing but the case of ASCII letters; each keeps its own.
public struct DNSName: Hashable, Sendable, CustomStringConvertible {
    /// A name has so many bytes at most, and each of its labels ``maximumLabel``.
    public static let maximumLength = 255
    public static let maximumLabel = 63

    public static let root = DNSName(wire: [0])

    /// The labels, each behind its length, with the root's zero at the end; not compressed.
    public let wire: [UInt8]

    private init(wire: [UInt8]) { self.wire = wire }

    // MARK: in a message

    /// Reads the name at `offset` of a message, and moves `offset` behind it. See ``walk(_:at:_:)``.
    public init(in bytes: [UInt8], at offset: inout Int) throws(DNSFormatError) {
        var wire: [UInt8] = []
        try DNSName.walk(bytes, at: &offset) { label in
            wire.append(UInt8(label.count))
            wire += bytes[label]
        }
        wire.append(0)
        self.init(wire: wire)
    }

    /// Goes through the labels of the name at `offset`, and moves `offset` behind it.
    ///
    /// Takes a bounded time, whatever the message says: a pointer must lead to before the place where the part that it ends begins, so that there is no way round in a circle; and
    /// a name without needless pointers has at most one for each of its 127 labels.
    static func walk(_ bytes: [UInt8], at offset: inout Int, _ body: (Range<Int>) -> Void = { _ in }) throws(DNSFormatError) {
        var position = offset, partBegin = offset, length = 1, pointers = 0
        var end: Int?
        while true {
            guard position < bytes.count else { throw DNSFormatError("a name goes on behind the end", at: position) }
            let first = Int(bytes[position])
            switch first >> 6 {
            case 0 where first == 0:
                offset = end ?? position + 1
                return
            case 0:
                let label = position + 1..<position + 1 + first
                length += 1 + first
                if length > maximumLength { throw DNSFormatError("a name of more than \(maximumLength) bytes", at: offset) }
                if label.upperBound > bytes.count { throw DNSFormatError("a label of \(first) bytes goes on behind the end", at: position) }
                body(label)
                position = label.upperBound
            case 3:
                guard position + 1 < bytes.count else { throw DNSFormatError("half a pointer", at: position) }
                let target = Int(bytes.number16(at: position) & 0x3fff)
                if target < DNSHeader.size { throw DNSFormatError("a name's pointer into the header", at: position) }
                if target >= partBegin { throw DNSFormatError("a name's pointer that does not lead back", at: position) }
                pointers += 1
                if pointers > 127 { throw DNSFormatError("a name of more than 127 pointers", at: offset) }
                end = end ?? position + 2
                position = target
                partBegin = target
            default:
                throw DNSFormatError("a label of an unknown kind (\(first >> 6))", at: position)
            }
        }
    }

    // MARK: as text

    /// From text as in `www.example.com`, with or without the last dot; `.` is the root. `\.` is a dot within a label, `\065` a byte by its number.
    public init(_ text: String) throws(DNSFormatError) {
        var wire: [UInt8] = [], label: [UInt8] = []
        let text = Array(text.utf8)
        func endLabel(at offset: Int) throws(DNSFormatError) {
            if label.isEmpty { throw DNSFormatError("an empty label", at: offset) }
            if label.count > DNSName.maximumLabel { throw DNSFormatError("a label of more than \(DNSName.maximumLabel) bytes ends", at: offset) }
            wire.append(UInt8(label.count))
            wire += label
            label.removeAll(keepingCapacity: true)
        }
        if text != [UInt8(ascii: ".")] {
            var offset = 0
            while offset < text.count {
                switch text[offset] {
                case UInt8(ascii: "."):
                    try endLabel(at: offset)
                case UInt8(ascii: "\\"):
                    label.append(try DNSName.escaped(text, at: &offset))
                case let byte:
                    label.append(byte)
                }
                offset += 1
            }
            if !label.isEmpty { try endLabel(at: offset) }
            if wire.isEmpty { throw DNSFormatError("an empty name", at: 0) }
        }
        wire.append(0)
        if wire.count > DNSName.maximumLength { throw DNSFormatError("a name of \(wire.count) bytes, of at most \(DNSName.maximumLength), ends", at: text.count) }
        self.init(wire: wire)
    }

    /// What a backslash at `offset` makes of what is behind it; moves `offset` to the last byte of that.
    private static func escaped(_ text: [UInt8], at offset: inout Int) throws(DNSFormatError) -> UInt8 {
        let digits = text[offset...].dropFirst().prefix(3)
        guard let first = digits.first else { throw DNSFormatError("a backslash with nothing behind it", at: offset) }
        func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
        if !isDigit(first) {
            offset += 1
            return first
        }
        let number = digits.reduce(0) { $0 * 10 + Int($1) - 48 }
        guard digits.count == 3, digits.allSatisfy(isDigit), let byte = UInt8(exactly: number) else {
            throw DNSFormatError("a backslash, and no number from 000 to 255 behind it", at: offset)
        }
        offset += 3
        return byte
    }

    /// As it is written in zone files: with a dot at the end, and with what cannot be printed by number.
    public var description: String {
        if wire.count == 1 { return "." }
        var text = "", offset = 0
        while offset < wire.count, wire[offset] > 0 {
            for byte in wire[offset + 1...offset + Int(wire[offset])] {
                switch byte {
                case UInt8(ascii: "."), UInt8(ascii: "\\"): text += "\\" + String(UnicodeScalar(byte))
                case 0x21...0x7e: text.unicodeScalars.append(UnicodeScalar(byte))
                default: text += "\\" + String(repeating: "0", count: byte < 10 ? 2 : byte < 100 ? 1 : 0) + "\(byte)"
                }
            }
            text += "."
            offset += 1 + Int(wire[offset])
        }
        return text
    }

    // MARK: comparing

    // Lengths are below the letters: they compare as they are.
    private static func folded(_ byte: UInt8) -> UInt8 { byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte }

    public static func == (left: DNSName, right: DNSName) -> Bool {
        left.wire.count == right.wire.count && zip(left.wire, right.wire).allSatisfy { folded($0) == folded($1) }
    }

    public func hash(into hasher: inout Hasher) {
        for byte in wire { hasher.combine(DNSName.folded(byte)) }
    }
}
