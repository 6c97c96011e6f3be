import DNSMessages
import Testing

/// An answer with something of everything: compressed names, all sections, an OPT record.
func sampleAnswer() throws -> DNSDraft {
    let (name, zone) = (try DNSName("www.Example.org"), try DNSName("example.org"))
    var draft = DNSDraft(DNSHeader(id: 0xbeef, flags: [.response, .authoritative, .recursionDesired], code: .noError), [DNSQuestion(name, .a)])
    draft.answers = [
        DNSDraft.Record(name, .cname, ttl: 600, data: try DNSName("web.example.org").wire),
        DNSDraft.Record(try DNSName("web.example.org"), .a, ttl: 300, data: [192, 0, 2, 1]),
    ]
    draft.authorities = [DNSDraft.Record(zone, .ns, ttl: 3600, data: try DNSName("ns.example.org").wire)]
    draft.additionals = [DNSDraft.Record(try DNSName("ns.example.org"), .aaaa, ttl: 0x7fff_ffff, data: [UInt8](repeating: 1, count: 16))]
    draft.extensions = DNSExtensions(payloadSize: 4096, codeHigh: 0, version: 0, wantsDNSSEC: true)
    return draft
}

/// The answer that there is no such name.
func sampleDenial(ttl: UInt32 = 900, minimum: UInt32 = 60) throws -> DNSDraft {
    let zone = try DNSName("example.org")
    var draft = DNSDraft(DNSHeader(id: 7, flags: [.response], code: .nameError), [DNSQuestion(try DNSName("nobody.example.org"), .a)])
    let numbers: [UInt32] = [2024, 7200, 900, 1_209_600, minimum]
    var data = try DNSName("ns.example.org").wire + DNSName("admin.example.org").wire
    for number in numbers { data += [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) } }
    draft.authorities = [DNSDraft.Record(zone, .soa, ttl: ttl, data: data)]
    return draft
}

@Suite struct DNSMessageTests {
    @Test func whatIsPutTogetherIsReadAgain() throws {
        let draft = try sampleAnswer()
        let message = try DNSMessage(draft.encoded())
        #expect(message.header == draft.header)
        #expect(message.questions == draft.questions)
        #expect(message.extensions == draft.extensions)
        let expected = draft.answers + draft.authorities + draft.additionals
        #expect(message.records.map(\.section) == [.answer, .answer, .authority, .additional, .additional])
        for (record, original) in zip(message.records, expected) {
            #expect(try message.name(of: record) == original.name)
            #expect(record.type == original.type)
            #expect(message.ttl(of: record) == original.ttl)
            #expect(Array(message.data(of: record)) == original.data)
        }
        #expect(message.records.last?.type == .opt)
    }

    @Test func namesArePutInCompressedAndInTheirOwnSpelling() throws {
        let bytes = try sampleAnswer().encoded()
        // The first answer's name is the question's.
        #expect(Array(bytes[33..<35]) == [0xc0, 12])
        let message = try DNSMessage(bytes)
        #expect(message.questions.first?.name.description == "www.Example.org.")
        #expect(try message.name(of: message.records[1]).description == "web.example.org.")
    }

    @Test func allBitsOfAHeaderAreReadAndWritten() throws {
        for bit in 0..<16 where bit != 6 {
            let bytes: [UInt8] = [0x12, 0x34] + [UInt8((1 << bit) >> 8), UInt8((1 << bit) & 0xff)] + [UInt8](repeating: 0, count: 8)
            var message = try DNSMessage(bytes)
            let header = message.header
            #expect(DNSHeader(of: bytes) == header)
            message.header = DNSHeader(id: 0)
            message.header = header
            #expect(message.bytes == bytes, "bit \(bit)")
        }
        #expect(DNSHeader(of: [UInt8](repeating: 0, count: 11)) == nil)
    }

    @Test func aMessageThatIsCutOffAnywhereIsAnErrorThatSaysWhere() throws {
        for bytes in [try sampleAnswer().encoded(), try sampleDenial().encoded()] {
            for end in 0..<bytes.count {
                let error = #expect(throws: DNSFormatError.self, "cut at \(end)") { try DNSMessage(Array(bytes[..<end])) }
                if let error { #expect(error.offset <= end, "\(error), cut at \(end)") }
            }
        }
    }

    @Test func anyByteMayBeAnythingWithoutACrash() throws {
        let bytes = try sampleAnswer().encoded()
        let query = try DNSMessage(DNSDraft(DNSHeader(id: 1), [DNSQuestion(try DNSName("www.example.org"), .a)]).encoded())
        for index in bytes.indices {
            for value in [UInt8]([0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff]) {
                var changed = bytes
                changed[index] = value
                guard let message = try? DNSMessage(changed) else { continue }
                for record in message.records { _ = try message.name(of: record) }
                _ = message.answering(query, limit: 40)
                _ = message.refusal(.serverFailure)
                _ = message.aged(by: message.lifetime)
            }
        }
    }

    @Test func bytesBehindTheLastRecordAreAnError() throws {
        let bytes = try sampleAnswer().encoded()
        #expect(throws: DNSFormatError("1 bytes behind the last record", at: bytes.count)) { try DNSMessage(bytes + [0]) }
    }

    @Test func errorsSayWhatAndWhere() throws {
        #expect(throws: DNSFormatError("a header needs 4 bytes, and there are 0", at: 0)) { try DNSMessage([]) }
        let query = try DNSDraft(DNSHeader(id: 1), [DNSQuestion(try DNSName("a.b"), .a)]).encoded()
        #expect(throws: DNSFormatError("a question's class needs 2 bytes, and there are 1", at: 19)) { try DNSMessage(Array(query.dropLast())) }
        var lying = query
        lying[5] = 2
        #expect(throws: DNSFormatError("a name goes on behind the end", at: 21)) { try DNSMessage(lying) }
    }

    @Test func thereIsOneOPTRecordAtMostAndItStandsWhereItBelongs() throws {
        let bytes = try sampleAnswer().encoded()
        let opt = Array(bytes.suffix(11))
        var twice = bytes + opt
        twice[11] += 1
        #expect(throws: DNSFormatError("a second OPT record", at: bytes.count)) { try DNSMessage(twice) }
        let header: [UInt8] = [0, 1, 0x80, 0, 0, 0]
        #expect(throws: DNSFormatError("an OPT record in the answer section", at: 12)) { try DNSMessage(header + [0, 1, 0, 0, 0, 0] + opt) }
        #expect(throws: DNSFormatError("an OPT record with a name", at: 12)) { try DNSMessage(header + [0, 0, 0, 0, 0, 1, 1, 0x61] + opt) }
    }

    /// Records whose names are each as long to read as a name can be.
    @Test func theLargestMessageIsReadInNoTime() throws {
        let labels = [UInt8](String(repeating: "\u{1}a", count: 126).utf8) + [0]
        var bytes: [UInt8] = [0, 1, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0] + labels + [0, 1, 0, 1]
        // A chain of pointers as far as one may go, in the data of a record.
        var chain: [UInt8] = []
        let chainBegin = bytes.count + 12
        for index in 0..<120 {
            let target = index == 0 ? 12 : chainBegin + 2 * (index - 1)
            chain += [0xc0 | UInt8(target >> 8), UInt8(target & 0xff)]
        }
        bytes += [0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0, 0, UInt8(chain.count)] + chain
        let last = chainBegin + chain.count - 2
        var count = 1
        while bytes.count + 12 <= DNSMessage.maximumSize {
            bytes += [0xc0 | UInt8(last >> 8), UInt8(last & 0xff), 0, 16, 0, 1, 0, 0, 0, 0, 0, 0]
            count += 1
        }
        bytes[6] = UInt8(count >> 8)
        bytes[7] = UInt8(count & 0xff)
        let message = bytes
        let began = ContinuousClock.now
        #expect(try DNSMessage(message).records.count == count)
        let duration = ContinuousClock.now - began
        // 0.05 s in a debug build.
        #expect(duration < .seconds(5))
    }

    @Test func aMessageOfMoreThanALengthCanSayIsAnError() throws {
        #expect(throws: DNSFormatError("more than 65535 bytes", at: 65_535)) { try DNSMessage([UInt8](repeating: 0, count: 65_536)) }
        var draft = try sampleAnswer()
        draft.answers += [DNSDraft.Record(.root, .txt, ttl: 0, data: [UInt8](repeating: 0, count: 65_535))]
        #expect(throws: DNSFormatError.self) { try draft.encoded() }
        draft.answers = [DNSDraft.Record(.root, .txt, ttl: 0, data: [UInt8](repeating: 0, count: 65_536))]
        #expect(throws: DNSFormatError.self) { try draft.encoded() }
    }

    @Test func namesFarBackAreNotPointedTo() throws {
        var draft = DNSDraft(DNSHeader(id: 1, flags: .response), [])
        draft.answers = (0..<1200).map { DNSDraft.Record(.root, .txt, ttl: $0, data: [1, 2, 3]) }
        let late = try DNSName("late.example.org")
        draft.answers += [DNSDraft.Record(late, .txt, ttl: 1, data: []), DNSDraft.Record(late, .txt, ttl: 2, data: [])]
        let message = try DNSMessage(draft.encoded())
        for record in message.records.suffix(2) { #expect(try message.name(of: record) == late) }
    }
}
