/// The first twelve bytes of a message.
public struct DNSHeader: Hashable, Sendable {
    public static let size = 12

    /// What an answer has in common with its query.
    public var id: UInt16
    public var flags: DNSFlags
    /// What kind of query it is, 0 to 15.
    public var operation: UInt8
    /// How an answer came out, as far as four bits can say it.
    public var code: DNSCode

    public init(id: UInt16, flags: DNSFlags = [], operation: UInt8 = 0, code: DNSCode = .noError) {
        self.id = id
        self.flags = flags
        self.operation = operation
        self.code = code
    }

    /// The header of what may be no more than that, for an answer that says that it is no message. Nil if not even that is there.
    public init?(of bytes: [UInt8]) {
        guard bytes.count >= DNSHeader.size else { return nil }
        self.init(id: bytes.number16(at: 0), word: bytes.number16(at: 2))
    }

    init(id: UInt16, word: UInt16) {
        self.id = id
        flags = DNSFlags(rawValue: word).intersection(.all)
        operation = UInt8(word >> 11 & 0xf)
        code = DNSCode(rawValue: UInt8(word & 0xf))
    }

    /// The second two bytes.
    var word: UInt16 { flags.rawValue | UInt16(operation & 0xf) << 11 | UInt16(code.rawValue & 0xf) }
}

/// The flags in a message's header.
public struct DNSFlags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// It is an answer (QR).
    public static let response = DNSFlags(rawValue: 0x8000)
    /// It comes from who is responsible for the name (AA).
    public static let authoritative = DNSFlags(rawValue: 0x0400)
    /// It did not fit: ask again by TCP (TC).
    public static let truncated = DNSFlags(rawValue: 0x0200)
    /// Please ask others (RD).
    public static let recursionDesired = DNSFlags(rawValue: 0x0100)
    /// I do ask others (RA).
    public static let recursionAvailable = DNSFlags(rawValue: 0x0080)
    /// The signatures were checked (AD); in a query: tell me whether they were.
    public static let authenticData = DNSFlags(rawValue: 0x0020)
    /// Do not check the signatures (CD).
    public static let checkingDisabled = DNSFlags(rawValue: 0x0010)

    static let all: DNSFlags = [.response, .authoritative, .truncated, .recursionDesired, .recursionAvailable, .authenticData, .checkingDisabled]
}

/// How an answer came out.
public struct DNSCode: Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let noError = DNSCode(rawValue: 0)
    /// The query is none.
    public static let formatError = DNSCode(rawValue: 1)
    /// Nobody could find out.
    public static let serverFailure = DNSCode(rawValue: 2)
    /// There is no such name.
    public static let nameError = DNSCode(rawValue: 3)
    public static let notImplemented = DNSCode(rawValue: 4)
    public static let refused = DNSCode(rawValue: 5)
    /// A version of EDNS that is not known. Does not fit into a header: its upper bits are in the OPT record.
    public static let badVersion = DNSCode(rawValue: 16)

    public var description: String {
        switch self {
        case .noError: "NOERROR"
        case .formatError: "FORMERR"
        case .serverFailure: "SERVFAIL"
        case .nameError: "NXDOMAIN"
        case .notImplemented: "NOTIMP"
        case .refused: "REFUSED"
        case .badVersion: "BADVERS"
        default: "RCODE\(rawValue)"
        }
    }
}

/// What a record is, or what kind of records a question is about.
public struct DNSType: Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let a = DNSType(rawValue: 1)
    public static let ns = DNSType(rawValue: 2)
    public static let cname = DNSType(rawValue: 5)
    public static let soa = DNSType(rawValue: 6)
    public static let ptr = DNSType(rawValue: 12)
    public static let mx = DNSType(rawValue: 15)
    public static let txt = DNSType(rawValue: 16)
    public static let aaaa = DNSType(rawValue: 28)
    /// No record of a name, but what the two sides of an exchange say to each other (EDNS).
    public static let opt = DNSType(rawValue: 41)
    public static let any = DNSType(rawValue: 255)

    public var description: String {
        switch self {
        case .a: "A"
        case .ns: "NS"
        case .cname: "CNAME"
        case .soa: "SOA"
        case .ptr: "PTR"
        case .mx: "MX"
        case .txt: "TXT"
        case .aaaa: "AAAA"
        case .opt: "OPT"
        case .any: "ANY"
        default: "TYPE\(rawValue)"
        }
    }
}
