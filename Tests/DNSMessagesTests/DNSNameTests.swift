import DNSMessages
import Testing

@Suite struct DNSNameTests {
    /// A name that begins behind 12 bytes of something, and where reading it ended.
    private func read(_ bytes: [UInt8], at begin: Int = 12) throws -> (name: DNSName, end: Int) {
        var offset = begin
        let name = try DNSName(in: [UInt8](repeating: 0xee, count: 12) + bytes, at: &offset)
        return (name, offset)
    }

    private func error(_ bytes: [UInt8], at begin: Int = 12) -> DNSFormatError? {
        #expect(throws: DNSFormatError.self) { try read(bytes, at: begin) }
    }

    @Test(arguments: [".", "org.", "www.example.org.", "a\\.b.c\\\\d.", "\\000\\009\\255\\032.x."])
    func aTextIsReadAndPrintedAsTheSame(text: String) throws {
        let name = try DNSName(text)
        #expect(name.description == text)
        #expect(try read(name.wire).name.wire == name.wire)
        #expect(try read(name.wire).end == 12 + name.wire.count)
    }

    @Test func theLastDotMayBeLeftOut() throws {
        #expect(try DNSName("example.org") == DNSName("example.org."))
        #expect(try DNSName(".") == .root)
        #expect(try DNSName("\\065\\b") == DNSName("Ab"))
    }

    @Test(arguments: [
        ("", "an empty name at byte 0"), (".org", "an empty label at byte 0"), ("a..b", "an empty label at byte 2"),
        ("a.\\", "a backslash with nothing behind it at byte 2"),
        ("\\256", "a backslash, and no number from 000 to 255 behind it at byte 0"), ("x\\12", "a backslash, and no number from 000 to 255 behind it at byte 1"),
        ("\\1x2", "a backslash, and no number from 000 to 255 behind it at byte 0"),
        (String(repeating: "a", count: 64), "a label of more than 63 bytes ends at byte 64"),
    ])
    func aTextThatIsNoNameIsAnErrorThatSaysWhere(text: String, message: String) {
        let error = #expect(throws: DNSFormatError.self) { try DNSName(text) }
        #expect(error?.description == message)
    }

    @Test func aNameHas255BytesAtMost() throws {
        let label = String(repeating: "x", count: 63) + "."
        let longest = label + label + label + String(repeating: "y", count: 61)
        let name = try DNSName(longest)
        #expect(name.wire.count == 255)
        #expect(try read(name.wire).name == name)
        #expect(throws: DNSFormatError.self) { try DNSName(longest + "y") }
        // In a message: the same name with one more byte in its last label.
        var wire = name.wire
        wire[192] += 1
        wire.insert(7, at: 193)
        #expect(error(wire) == DNSFormatError("a name of more than 255 bytes", at: 12))
    }

    @Test func theCaseOfLettersIsKeptAndMakesNoDifference() throws {
        let (upper, lower) = (try DNSName("WWW.Example.ORG"), try DNSName("www.eXample.org"))
        #expect(upper == lower)
        #expect(upper.hashValue == lower.hashValue)
        #expect(upper.description == "WWW.Example.ORG.")
        // These differ by the same bit as a letter's two cases, and are no letters.
        #expect(try DNSName("[") != DNSName("{"))
        #expect(try DNSName("a.b") != DNSName("a\\.b"))
    }

    @Test func pointersAreFollowed() throws {
        // At 12: org. At 17: example, and on at 12. At 27: on at 17. At 29: www, and on at 27.
        let bytes = [3] + Array("org".utf8) + [0] + [7] + Array("example".utf8) + [0xc0, 12] + [0xc0, 17] + [3] + Array("www".utf8) + [0xc0, 27]
        #expect(try read(bytes, at: 17).name.description == "example.org.")
        #expect(try read(bytes, at: 17).end == 27)
        #expect(try read(bytes, at: 27).name.description == "example.org.")
        #expect(try read(bytes, at: 29).name.description == "www.example.org.")
        #expect(try read(bytes, at: 29).end == 35)
    }

    @Test func pointersThatDoNotLeadBackAreErrors() {
        #expect(error([0xc0, 12]) == DNSFormatError("a name's pointer that does not lead back", at: 12))
        #expect(error([0xc0, 14, 0]) == DNSFormatError("a name's pointer that does not lead back", at: 12))
        // a, and on at the a.
        #expect(error([1, 0x61, 0xc0, 12]) == DNSFormatError("a name's pointer that does not lead back", at: 14))
        // Two that lead to each other.
        #expect(error([0xc0, 14, 0xc0, 12], at: 14) == DNSFormatError("a name's pointer that does not lead back", at: 12))
        // On at 12, which reads on into itself.
        #expect(error([1, 0x61, 1, 0x62, 0xc0, 12], at: 14) == DNSFormatError("a name's pointer that does not lead back", at: 16))
        #expect(error([0xc0, 11]) == DNSFormatError("a name's pointer into the header", at: 12))
        #expect(error([0xff, 0xff]) == DNSFormatError("a name's pointer that does not lead back", at: 12))
    }

    @Test func aLongChainOfPointersIsAnError() throws {
        // The root at 12, and behind it pointers, each to the one before.
        var bytes: [UInt8] = [0, 0]
        for index in 0..<200 {
            let target = index == 0 ? 12 : 12 + 2 * index
            bytes += [0xc0 | UInt8(target >> 8), UInt8(target & 0xff)]
        }
        #expect(try read(bytes, at: 14 + 2 * 126).name == .root)
        #expect(error(bytes, at: 14 + 2 * 127) == DNSFormatError("a name of more than 127 pointers", at: 14 + 2 * 127))
    }

    @Test func whatIsCutOffIsAnError() {
        #expect(error([]) == DNSFormatError("a name goes on behind the end", at: 12))
        #expect(error([3, 0x61, 0x62]) == DNSFormatError("a label of 3 bytes goes on behind the end", at: 12))
        #expect(error([2, 0x61, 0x62]) == DNSFormatError("a name goes on behind the end", at: 15))
        #expect(error([0xc0]) == DNSFormatError("half a pointer", at: 12))
    }

    @Test func labelsOfUnknownKindsAreErrors() {
        #expect(error([0x40, 0]) == DNSFormatError("a label of an unknown kind (1)", at: 12))
        #expect(error([0x80, 0]) == DNSFormatError("a label of an unknown kind (2)", at: 12))
    }
}
