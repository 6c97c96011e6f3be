/// A query as far as its answer depends on it: two with the same may share an answer.
public struct DNSQuery: Hashable, Sendable, CustomStringConvertible {
    /// Larger datagrams than this might travel in pieces, of which some networks lose a part.
    public static let payloadSize: UInt16 = 1232

    public let question: DNSQuestion
    /// Those that the one who answers acts on.
    public let flags: DNSFlags
    /// It has an OPT record.
    public let isExtended: Bool
    public let wantsDNSSEC: Bool

    /// Why a query is answered by an error at once.
    public struct Refusal: Error, Hashable, Sendable {
        public let code: DNSCode

        public init(code: DNSCode) { self.code = code }
    }

    /// - Throws: the code to answer with: `notImplemented` for another operation than a query, `formatError` unless there is exactly one question, `badVersion` for an EDNS
    ///   of the future.
    public init(_ message: DNSMessage) throws(Refusal) {
        if message.header.operation != 0 { throw Refusal(code: .notImplemented) }
        guard message.questions.count == 1, let question = message.questions.first else { throw Refusal(code: .formatError) }
        let extensions = message.extensions
        if let extensions, extensions.version > 0 { throw Refusal(code: .badVersion) }
        self.question = question
        flags = message.header.flags.intersection([.recursionDesired, .authenticData, .checkingDisabled])
        isExtended = extensions != nil
        wantsDNSSEC = extensions?.wantsDNSSEC ?? false
    }

    /// The query as it is sent on. The options of the client's OPT record (cookies, padding, …) are between it and us, and are not sent.
    public func encoded(id: UInt16) throws(DNSFormatError) -> [UInt8] {
        var draft = DNSDraft(DNSHeader(id: id, flags: flags), [question])
        if isExtended { draft.extensions = DNSExtensions(payloadSize: DNSQuery.payloadSize, wantsDNSSEC: wantsDNSSEC) }
        return try draft.encoded()
    }

    /// Whether a message can be the answer. Who forges one must guess the id and the port; that it is about the same question keeps stray answers out.
    public func isAnswered(by message: DNSMessage, id: UInt16) -> Bool {
        let header = message.header
        return header.id == id && header.flags.contains(.response) && header.operation == 0 && message.questions == [question]
    }

    public var description: String { "\(question)" }
}
