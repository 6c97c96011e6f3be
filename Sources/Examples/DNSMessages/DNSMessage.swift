/// A message that was read to its end: its bytes, and where in them is what.
///
/// It keeps the bytes as they came, and changes some of them in place: what is in the records need not be understood for that, so that kinds of records
/// that nobody has thought of yet pass as well.
public struct DNSMessage: Hashable, Sendable {
    /// A message has so many bytes at most: its length is a number of two bytes where it travels by TCP.
    public static let maximumSize = 65_535

    public internal(set) var bytes: [UInt8]
    public let questions: [DNSQuestion]
    /// Those of all sections, in their order.
    public let records: [DNSRecord]
    /// Where the records begin.
    let questionsEnd: Int
    private let optIndex: Int?

    /// Reads a message. Takes a time that is proportional to its size.
    public init(_ bytes: [UInt8]) throws(DNSFormatError) {
        if bytes.count > DNSMessage.maximumSize { throw DNSFormatError("more than \(DNSMessage.maximumSize) bytes", at: DNSMessage.maximumSize) }
        var reader = DNSReader(bytes)
        try reader.skip(4, "a header")
        let questionCount = try reader.read16("a header")
        let counts = (try reader.read16("a header"), try reader.read16("a header"), try reader.read16("a header"))

        var questions: [DNSQuestion] = []
        for _ in 0..<questionCount { questions.append(try DNSQuestion(&reader)) }
        questionsEnd = reader.offset

        var records: [DNSRecord] = []
        var optIndex: Int?
        for (section, count) in [(DNSSection.answer, counts.0), (.authority, counts.1), (.additional, counts.2)] {
            for _ in 0..<count {
                let record = try DNSRecord(&reader, section)
                if record.type == .opt {
                    if section != .additional { throw DNSFormatError("an OPT record in the \(section) section", at: record.begin) }
                    if optIndex != nil { throw DNSFormatError("a second OPT record", at: record.begin) }
                    if bytes[record.begin] != 0 { throw DNSFormatError("an OPT record with a name", at: record.begin) }
                    optIndex = records.count
                }
                records.append(record)
            }
        }
        if reader.offset < bytes.count { throw DNSFormatError("\(bytes.count - reader.offset) bytes behind the last record", at: reader.offset) }
        self.bytes = bytes
        self.questions = questions
        self.records = records
        self.optIndex = optIndex
    }

    public var header: DNSHeader {
        get { DNSHeader(id: bytes.number16(at: 0), word: bytes.number16(at: 2)) }
        set {
            bytes.put16(newValue.id, at: 0)
            bytes.put16(newValue.word, at: 2)
        }
    }

    /// Its OPT record.
    var opt: DNSRecord? { optIndex.map { records[$0] } }

    /// What the OPT record says; nil if there is none.
    public var extensions: DNSExtensions? {
        guard let opt else { return nil }
        let ttl = ttl(of: opt)
        return DNSExtensions(
            payloadSize: bytes.number16(at: opt.fields + 2), codeHigh: UInt8(ttl >> 24), version: UInt8(truncatingIfNeeded: ttl >> 16), wantsDNSSEC: ttl & 0x8000 != 0)
    }

    /// Whose record it is.
    public func name(of record: DNSRecord) throws(DNSFormatError) -> DNSName {
        var offset = record.begin
        return try DNSName(in: bytes, at: &offset)
    }

    /// For how many seconds the record is good. An OPT record has something else there.
    public func ttl(of record: DNSRecord) -> UInt32 { bytes.number32(at: record.fields + 4) }

    /// What is in it, as it is: names in it may be pointers into the message.
    public func data(of record: DNSRecord) -> ArraySlice<UInt8> { bytes[record.data] }

    mutating func setTTL(_ seconds: UInt32, of record: DNSRecord) { bytes.put32(seconds, at: record.fields + 4) }
}

/// What is asked.
public struct DNSQuestion: Hashable, Sendable, CustomStringConvertible {
    public var name: DNSName
    public var type: DNSType
    /// 1 is the Internet.
    public var network: UInt16

    public init(_ name: DNSName, _ type: DNSType, network: UInt16 = 1) {
        self.name = name
        self.type = type
        self.network = network
    }

    init(_ reader: inout DNSReader) throws(DNSFormatError) {
        name = try DNSName(in: reader.bytes, at: &reader.offset)
        type = DNSType(rawValue: try reader.read16("a question's type"))
        network = try reader.read16("a question's class")
    }

    public var description: String { network == 1 ? "\(name) \(type)" : "\(name) \(type) in class \(network)" }
}

public enum DNSSection: String, Sendable {
    case answer, authority, additional
}

/// Where a record is in its message.
public struct DNSRecord: Hashable, Sendable {
    public let section: DNSSection
    public let type: DNSType
    /// Where its name begins.
    let begin: Int
    /// Where its name ends: two bytes of type, two of class, four of time to live, two of length.
    let fields: Int
    let data: Range<Int>

    init(_ reader: inout DNSReader, _ section: DNSSection) throws(DNSFormatError) {
        self.section = section
        begin = reader.offset
        try DNSName.walk(reader.bytes, at: &reader.offset)
        fields = reader.offset
        try reader.skip(8, "a record's type, class and time to live")
        type = DNSType(rawValue: reader.bytes.number16(at: fields))
        let count = Int(try reader.read16("a record's length"))
        let dataBegin = reader.offset
        try reader.skip(count, "a record's data")
        data = dataBegin..<reader.offset
    }
}

/// What an OPT record says (EDNS, RFC 6891).
public struct DNSExtensions: Hashable, Sendable {
    /// So large a datagram its sender takes.
    public var payloadSize: UInt16
    /// The upper eight bits of the code of an answer.
    public var codeHigh: UInt8 = 0
    public var version: UInt8 = 0
    /// Please with signatures (DO).
    public var wantsDNSSEC = false

    public init(payloadSize: UInt16, codeHigh: UInt8 = 0, version: UInt8 = 0, wantsDNSSEC: Bool = false) {
        self.payloadSize = payloadSize
        self.codeHigh = codeHigh
        self.version = version
        self.wantsDNSSEC = wantsDNSSEC
    }

    /// As a record: its name is the root, its class the size, its time to live the rest; no options.
    var record: [UInt8] {
        var bytes: [UInt8] = [0]
        bytes.append16(DNSType.opt.rawValue)
        bytes.append16(payloadSize)
        bytes.append32(UInt32(codeHigh) << 24 | UInt32(version) << 16 | (wantsDNSSEC ? 0x8000 : 0))
        bytes.append16(0)
        return bytes
    }
}
