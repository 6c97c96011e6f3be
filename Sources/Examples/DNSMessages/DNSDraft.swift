/// A message that is being put together.
public struct DNSDraft: Hashable, Sendable {
    public struct Record: Hashable, Sendable {
        public var name: DNSName
        public var type: DNSType
        public var network: UInt16
        /// Seconds.
        public var ttl: UInt32
        public var data: [UInt8]

        public init(_ name: DNSName, _ type: DNSType, network: UInt16 = 1, ttl: UInt32, data: [UInt8]) {
            self.name = name
            self.type = type
            self.network = network
            self.ttl = ttl
            self.data = data
        }
    }

    public var header: DNSHeader
    public var questions: [DNSQuestion]
    public var answers: [Record] = []
    public var authorities: [Record] = []
    public var additionals: [Record] = []
    /// Nil: no OPT record.
    public var extensions: DNSExtensions?

    public init(_ header: DNSHeader, _ questions: [DNSQuestion] = []) {
        self.header = header
        self.questions = questions
    }

    /// The message. Names of questions and records are compressed, those within data stay as they are.
    public func encoded() throws(DNSFormatError) -> [UInt8] {
        var bytes: [UInt8] = []
        var names = CompressedNames()
        bytes.append16(header.id)
        bytes.append16(header.word)
        for count in [questions.count, answers.count, authorities.count, additionals.count + (extensions == nil ? 0 : 1)] {
            guard let count = UInt16(exactly: count) else { throw DNSFormatError("\(count) records in a section of at most 65535", at: bytes.count) }
            bytes.append16(count)
        }
        for question in questions {
            names.append(question.name, to: &bytes)
            bytes.append16(question.type.rawValue)
            bytes.append16(question.network)
        }
        for records in [answers, authorities, additionals] {
            for record in records {
                names.append(record.name, to: &bytes)
                bytes.append16(record.type.rawValue)
                bytes.append16(record.network)
                bytes.append32(record.ttl)
                guard let count = UInt16(exactly: record.data.count) else {
                    throw DNSFormatError("a record with \(record.data.count) bytes of data, of at most 65535", at: bytes.count)
                }
                bytes.append16(count)
                bytes += record.data
                if bytes.count > DNSMessage.maximumSize { throw DNSFormatError("more than \(DNSMessage.maximumSize) bytes", at: bytes.count) }
            }
        }
        if let extensions { bytes += extensions.record }
        if bytes.count > DNSMessage.maximumSize { throw DNSFormatError("more than \(DNSMessage.maximumSize) bytes", at: bytes.count) }
        return bytes
    }
}

/// Where names and their ends are in a message.
private struct CompressedNames {
    private var offsets: [ArraySlice<UInt8>: Int] = [:]

    mutating func append(_ name: DNSName, to bytes: inout [UInt8]) {
        var rest = name.wire[...]
        while let length = rest.first, length > 0 {
            if let offset = offsets[rest] {
                bytes.append16(0xc000 | UInt16(offset))
                return
            }
            // A pointer has 14 bits.
            if bytes.count < 0x4000 { offsets[rest] = bytes.count }
            bytes += rest.prefix(1 + Int(length))
            rest = rest.dropFirst(1 + Int(length))
        }
        bytes.append(0)
    }
}
