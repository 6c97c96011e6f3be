/// Reads a message from its beginning to its end. Numbers are in network order.
struct DNSReader {
    let bytes: [UInt8]
    var offset = 0

    init(_ bytes: [UInt8], at offset: Int = 0) {
        self.bytes = bytes
        self.offset = offset
    }

    mutating func read16(_ what: String) throws(DNSFormatError) -> UInt16 {
        let start = offset
        try skip(2, what)
        return bytes.number16(at: start)
    }

    mutating func skip(_ count: Int, _ what: String) throws(DNSFormatError) {
        if bytes.count - offset < count {
            throw DNSFormatError("\(what) needs \(count) bytes, and there are \(bytes.count - offset)", at: offset)
        }
        offset += count
    }
}

extension [UInt8] {
    // The offsets of these come from a message that was read to its end, or have been compared with `count`.

    func number16(at offset: Int) -> UInt16 { UInt16(self[offset]) << 8 | UInt16(self[offset + 1]) }

    func number32(at offset: Int) -> UInt32 { UInt32(number16(at: offset)) << 16 | UInt32(number16(at: offset + 2)) }

    mutating func put16(_ number: UInt16, at offset: Int) {
        self[offset] = UInt8(number >> 8)
        self[offset + 1] = UInt8(truncatingIfNeeded: number)
    }

    mutating func put32(_ number: UInt32, at offset: Int) {
        put16(UInt16(number >> 16), at: offset)
        put16(UInt16(truncatingIfNeeded: number), at: offset + 2)
    }

    mutating func append16(_ number: UInt16) {
        append(UInt8(number >> 8))
        append(UInt8(truncatingIfNeeded: number))
    }

    mutating func append32(_ number: UInt32) {
        append16(UInt16(number >> 16))
        append16(UInt16(truncatingIfNeeded: number))
    }
}
