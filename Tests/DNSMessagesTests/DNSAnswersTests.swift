import DNSMessages
import Testing

@Suite struct DNSAnswersTests {
    private func query(_ name: String, id: UInt16 = 0x1234, flags: DNSFlags = .recursionDesired, extensions: DNSExtensions? = nil) throws -> DNSMessage {
        var draft = DNSDraft(DNSHeader(id: id, flags: flags), [DNSQuestion(try DNSName(name), .a)])
        draft.extensions = extensions
        return try DNSMessage(draft.encoded())
    }

    // MARK: what is the same query

    @Test func queriesAreTheSameIfTheirAnswersAre() throws {
        let base = try DNSQuery(query("www.example.org"))
        #expect(try DNSQuery(query("WWW.example.org", id: 9)) == base)
        #expect(try DNSQuery(query("www.example.com")) != base)
        #expect(try DNSQuery(query("www.example.org", flags: [])) != base)
        #expect(try DNSQuery(query("www.example.org", flags: [.recursionDesired, .checkingDisabled])) != base)
        #expect(try DNSQuery(query("www.example.org", flags: [.recursionDesired, .truncated])) == base)
        let extended = try DNSQuery(query("www.example.org", extensions: DNSExtensions(payloadSize: 1232)))
        #expect(extended != base)
        #expect(try DNSQuery(query("www.example.org", extensions: DNSExtensions(payloadSize: 4096))) == extended)
        #expect(try DNSQuery(query("www.example.org", extensions: DNSExtensions(payloadSize: 1232, wantsDNSSEC: true))) != extended)
    }

    @Test func whatIsSentOnIsTheSameQuery() throws {
        for extensions in [nil, DNSExtensions(payloadSize: 4096), DNSExtensions(payloadSize: 512, wantsDNSSEC: true)] {
            let original = try DNSQuery(query("www.example.org", flags: [.recursionDesired, .authenticData], extensions: extensions))
            let sent = try DNSMessage(original.encoded(id: 77))
            #expect(sent.header.id == 77)
            #expect(try DNSQuery(sent) == original)
            #expect(sent.extensions?.payloadSize ?? 1232 == 1232)
        }
    }

    @Test func whatIsNoPlainQueryIsRefused() throws {
        var draft = DNSDraft(DNSHeader(id: 1, operation: 5), [DNSQuestion(.root, .soa)])
        #expect(throws: DNSQuery.Refusal(code: .notImplemented)) { try DNSQuery(DNSMessage(draft.encoded())) }
        draft.header.operation = 0
        draft.questions = []
        #expect(throws: DNSQuery.Refusal(code: .formatError)) { try DNSQuery(DNSMessage(draft.encoded())) }
        draft.questions = [DNSQuestion(.root, .soa), DNSQuestion(.root, .ns)]
        #expect(throws: DNSQuery.Refusal(code: .formatError)) { try DNSQuery(DNSMessage(draft.encoded())) }
        #expect(throws: DNSQuery.Refusal(code: .badVersion)) { try DNSQuery(query("a", extensions: DNSExtensions(payloadSize: 512, version: 1))) }
    }

    @Test func onlyAnAnswerToTheSameQuestionWithTheSameIdIsOne() throws {
        let asked = try DNSQuery(query("www.example.org"))
        var draft = try sampleAnswer()
        #expect(asked.isAnswered(by: try DNSMessage(draft.encoded()), id: 0xbeef))
        #expect(!asked.isAnswered(by: try DNSMessage(draft.encoded()), id: 0xbeee))
        draft.header.flags.remove(.response)
        #expect(!asked.isAnswered(by: try DNSMessage(draft.encoded()), id: 0xbeef))
        draft.header.flags.insert(.response)
        let name = try DNSName("www.example.org")
        for question in [DNSQuestion(try DNSName("www.example.com"), .a), DNSQuestion(name, .aaaa), DNSQuestion(name, .a, network: 3)] {
            draft.questions = [question]
            #expect(!asked.isAnswered(by: try DNSMessage(draft.encoded()), id: 0xbeef))
        }
        draft.questions = []
        #expect(!asked.isAnswered(by: try DNSMessage(draft.encoded()), id: 0xbeef))
    }

    // MARK: answers

    @Test func anAnswerHasTheClientsIdAndSpelling() throws {
        let asked = try query("wWw.eXample.org", flags: [.checkingDisabled])
        let original = try DNSMessage(sampleAnswer().encoded())
        let answer = try DNSMessage(original.answering(asked, limit: 65_535))
        #expect(answer.header.id == 0x1234)
        #expect(answer.header.flags == [.response, .checkingDisabled, .recursionAvailable])
        #expect(answer.questions.first?.name.description == "wWw.eXample.org.")
        // Through a pointer to the question.
        #expect(try answer.name(of: answer.records[0]).description == "wWw.eXample.org.")
        #expect(answer.records == original.records)
        #expect(answer.extensions == DNSExtensions(payloadSize: 1232, wantsDNSSEC: true))
    }

    @Test func anAnswerThatIsTooLargeIsCutDownToItsQuestionAndMarked() throws {
        let asked = try query("www.example.org", extensions: DNSExtensions(payloadSize: 4096))
        let original = try DNSMessage(sampleAnswer().encoded())
        #expect(original.answering(asked, limit: original.bytes.count).count == original.bytes.count)
        let cut = try DNSMessage(original.answering(asked, limit: original.bytes.count - 1))
        #expect(cut.header.flags.contains(.truncated))
        #expect(cut.header.id == 0x1234)
        #expect(cut.questions == asked.questions)
        #expect(cut.records.map(\.type) == [.opt])
        #expect(cut.extensions?.wantsDNSSEC == true)
    }

    @Test func theOptionsOfATruncatedAnswerAreCutOffToo() throws {
        var bytes = try sampleAnswer().encoded()
        bytes.replaceSubrange(bytes.count - 2..<bytes.count, with: [0x04, 0x04, 0, 15, 0x04, 0] + [UInt8](repeating: 0, count: 1024))
        let original = try DNSMessage(bytes)
        #expect(try original.data(of: #require(original.records.last)).count == 1028)
        let cut = original.answering(try query("www.example.org", extensions: DNSExtensions(payloadSize: 512)), limit: 512)
        #expect(cut.count == 33 + 11)
        #expect(try DNSMessage(cut).extensions == DNSExtensions(payloadSize: 1232, wantsDNSSEC: true))
    }

    @Test func theLimitIsWhatTheClientTakesAndNoNetworkBreaksIntoPieces() throws {
        #expect(try query("a").answerLimit == 512)
        for (payload, limit) in [(0, 512), (511, 512), (600, 600), (1232, 1232), (4096, 1232), (65_535, 1232)] {
            #expect(try query("a", extensions: DNSExtensions(payloadSize: UInt16(payload))).answerLimit == limit)
        }
    }

    @Test func aRefusalSaysToWhom() throws {
        let plain = try DNSMessage(query("www.example.org").refusal(.serverFailure))
        #expect(plain.header == DNSHeader(id: 0x1234, flags: [.response, .recursionDesired, .recursionAvailable], code: .serverFailure))
        #expect(plain.questions.first?.name.description == "www.example.org.")
        #expect(plain.extensions == nil)
        let extended = try DNSMessage(query("a", extensions: DNSExtensions(payloadSize: 4096, version: 1)).refusal(.badVersion))
        #expect(extended.header.code == .noError)
        #expect(extended.extensions == DNSExtensions(payloadSize: 1232, codeHigh: 1))
        let bare = try DNSMessage(DNSMessage.refusal(DNSHeader(id: 5, operation: 3), .formatError))
        #expect(bare.header == DNSHeader(id: 5, flags: [.response, .recursionAvailable], operation: 3, code: .formatError))
        #expect(bare.questions.isEmpty && bare.records.isEmpty)
    }

    // MARK: how long they are good

    @Test func anAnswerIsGoodAsLongAsTheFirstOfItsRecords() throws {
        var draft = try sampleAnswer()
        #expect(try DNSMessage(draft.encoded()).lifetime == 300)
        draft.additionals[0].ttl = 20
        #expect(try DNSMessage(draft.encoded()).lifetime == 20)
        draft.additionals[0].ttl = 0
        #expect(try DNSMessage(draft.encoded()).lifetime == 0)
        draft.additionals[0].ttl = 0x8000_0000
        #expect(try DNSMessage(draft.encoded()).lifetime == 0)
        draft.additionals = []
        draft.authorities = []
        for index in draft.answers.indices { draft.answers[index].ttl = 1_000_000 }
        #expect(try DNSMessage(draft.encoded()).lifetime == 86_400)
    }

    @Test func thatThereIsNothingIsGoodAsLongAsTheZoneSays() throws {
        #expect(try DNSMessage(sampleDenial(ttl: 900, minimum: 60).encoded()).lifetime == 60)
        #expect(try DNSMessage(sampleDenial(ttl: 30, minimum: 60).encoded()).lifetime == 30)
        #expect(try DNSMessage(sampleDenial(ttl: 999_999, minimum: 999_999).encoded()).lifetime == 10_800)
        var noRecord = try sampleDenial()
        noRecord.header.code = .noError
        #expect(try DNSMessage(noRecord.encoded()).lifetime == 60)
        noRecord.authorities = []
        #expect(try DNSMessage(noRecord.encoded()).lifetime == 0)
        var short = try sampleDenial()
        short.authorities[0].data = [0, 0]
        #expect(try DNSMessage(short.encoded()).lifetime == 0)
    }

    @Test func whatIsNoAnswerIsNotKept() throws {
        var draft = try sampleAnswer()
        draft.header.flags.insert(.truncated)
        #expect(try DNSMessage(draft.encoded()).lifetime == 0)
        draft.header.flags.remove(.truncated)
        draft.extensions?.codeHigh = 1
        #expect(try DNSMessage(draft.encoded()).lifetime == 0)
        draft.extensions?.codeHigh = 0
        for code in [DNSCode.serverFailure, .refused, .formatError] {
            draft.header.code = code
            #expect(try DNSMessage(draft.encoded()).lifetime == 0)
        }
    }

    @Test func ageingTakesFromEveryTimeToLiveButOPT() throws {
        let message = try DNSMessage(sampleAnswer().encoded())
        let aged = message.aged(by: 301)
        #expect(aged.records.dropLast().map { aged.ttl(of: $0) } == [299, 0, 3299, 0x7fff_ffff - 301])
        #expect(aged.extensions == message.extensions)
        #expect(try DNSMessage(aged.bytes) == aged)
    }
}
