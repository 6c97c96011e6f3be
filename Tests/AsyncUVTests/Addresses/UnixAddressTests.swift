import Foundation
import Testing
@testable import AsyncUV
import UVCore

@Suite struct UnixAddressTests {
    @Test(arguments: [
        "/run/app.sock", "relative", "./@odd", "@name", "@name with spaces", "(unnamed)",
        "\\(unnamed)", "\\@file", "/a\\\\b", "/line\\x0a", "@\\x00\\xff", "/é", "@@", "\\@\u{301}",
    ])
    func fault46_printsWhatItParsed(text: String) throws {
        let address = try UnixAddress(parsing: text)
        #expect(address.description == text)
        #expect(UnixAddress(text) == address)
        #expect(try JSONDecoder().decode([UnixAddress].self, from: JSONEncoder().encode([address])) == [address])
    }

    @Test func knowsAPathFromANameAndFromNothing() throws {
        let path = try UnixAddress(path: "@file")
        #expect(path.path == "@file" && path.abstractName == nil && !path.isUnnamed && path.description == "\\@file")
        let name = try UnixAddress(abstract: "file")
        #expect(name.abstractName == "file" && name.path == nil && !name.isUnnamed && name.description == "@file")
        #expect(UnixAddress.unnamed.isUnnamed && UnixAddress.unnamed.bytes.isEmpty && UnixAddress.unnamed.path == nil)
        #expect(path != name && path.bytes != name.bytes)
    }

    @Test func fault43_nothingIsEverCutOff() throws {
        let longest = String(repeating: "a", count: 107)
        #expect(try UnixAddress(path: longest).path == longest)
        #expect(try UnixAddress(abstract: longest).abstractName == longest)
        #expect(try UnixAddress(parsing: "@" + longest).abstractName == longest)
        let error = #expect(throws: LoopError.self) { try UnixAddress(path: "b" + longest) }
        #expect(error?.code == .invalidAddress)
        #expect(error?.detail.contains("108 bytes") == true)
        for wrong in ["", "a\0b", "b" + longest, String(repeating: "é", count: 54)] {
            #expect(throws: LoopError.self, "'\(wrong)'") { try UnixAddress(path: wrong) }
            #expect(throws: LoopError.self, "'\(wrong)'") { try UnixAddress(parsing: wrong) }
        }
        for wrong in ["", "b" + longest] { #expect(throws: LoopError.self) { try UnixAddress(abstract: wrong) } }
        for wrong in ["@", "a\\", "a\\x", "a\\x0", "a\\xg0", "a\\n", "/\\x00"] { #expect(throws: LoopError.self, "'\(wrong)'") { try UnixAddress(parsing: wrong) } }
    }

    @Test func fault46_bytesThatAreMadeAtRandomSurvivePrinting() throws {
        var random = SystemRandomNumberGenerator()
        let odd: [UInt8] = [0, 10, 0x1b, UInt8(ascii: "@"), UInt8(ascii: "("), UInt8(ascii: "\\"), 0x7f, 0x80, 0xc3, 0xa9, 0xe2, 0x80, 0xae, 0xf0, 0x9f, 0xff]
        for _ in 0..<500 {
            let bytes = (0..<Int.random(in: 1...107)).map { _ in Bool.random(using: &random) ? odd[Int.random(in: 0..<odd.count)] : UInt8.random(in: 1...255) }
            for name in [UnixName(path: bytes), UnixName(abstract: bytes)].compactMap({ $0 }) {
                let address = UnixAddress(name)
                #expect(UnixAddress(address.description) == address)
                #expect(address.description.utf8.allSatisfy { $0 >= 32 && $0 != 127 })
            }
        }
    }
}
