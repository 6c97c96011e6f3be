// What becomes of an answer on its way to a client.

extension DNSMessage {
    /// This answer as the answer to a client's query: with its id and flags, with the question as the client has spelled it, in at most `limit` bytes. One that is larger goes
    /// without its records and marked as truncated: then the client asks again by TCP.
    public func answering(_ query: DNSMessage, limit: Int) -> [UInt8] {
        var answer = self
        var header = header
        header.id = query.header.id
        // The server at the other end may be responsible for the name; this one is not.
        header.flags = header.flags.subtracting([.authoritative, .recursionDesired, .checkingDisabled])
            .union([.response, .recursionAvailable]).union(query.header.flagsToReturn)
        answer.header = header
        // A message's first name cannot be compressed, so that names which are equal are equally long.
        let question = DNSHeader.size..<questionsEnd
        if query.questionsEnd == questionsEnd { answer.bytes.replaceSubrange(question, with: query.bytes[question]) }
        // How large a datagram the one takes who sends this: that is us.
        if let opt { answer.bytes.put16(DNSQuery.payloadSize, at: opt.fields + 2) }
        return answer.bytes.count > limit ? answer.truncated() : answer.bytes
    }

    private func truncated() -> [UInt8] {
        var header = header
        header.flags.insert(.truncated)
        var result = Array(bytes[..<questionsEnd])
        result.put16(header.word, at: 2)
        for offset in [6, 8, 10] { result.put16(0, at: offset) }
        if let opt {
            // Without its options, which may be many.
            result.put16(1, at: 10)
            result += bytes[opt.begin..<opt.data.lowerBound - 2] + [0, 0]
        }
        return result
    }

    /// How large an answer to this query may be in a datagram: 512 bytes, unless it says that it takes more, and at most what no network breaks into pieces.
    public var answerLimit: Int {
        guard let extensions else { return 512 }
        return Int(min(max(extensions.payloadSize, 512), DNSQuery.payloadSize))
    }

    /// The answer to this query that nothing comes of it.
    public func refusal(_ code: DNSCode) -> [UInt8] {
        var draft = DNSDraft(DNSMessage.header(of: header, code))
        if questions.count == 1 { draft.questions = questions }
        if extensions != nil { draft.extensions = DNSExtensions(payloadSize: DNSQuery.payloadSize, codeHigh: code.rawValue >> 4) }
        // One question and one OPT record fit always.
        return (try? draft.encoded()) ?? DNSMessage.refusal(header, code)
    }

    /// The answer to what is no query, but begins like one.
    public static func refusal(_ header: DNSHeader, _ code: DNSCode) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: DNSHeader.size)
        let answer = DNSMessage.header(of: header, code)
        bytes.put16(answer.id, at: 0)
        bytes.put16(answer.word, at: 2)
        return bytes
    }

    private static func header(of query: DNSHeader, _ code: DNSCode) -> DNSHeader {
        DNSHeader(id: query.id, flags: query.flagsToReturn.union([.response, .recursionAvailable]), operation: query.operation, code: code)
    }
}

extension DNSHeader {
    /// What a query's answer has as well.
    fileprivate var flagsToReturn: DNSFlags { flags.intersection([.recursionDesired, .checkingDisabled]) }
}
