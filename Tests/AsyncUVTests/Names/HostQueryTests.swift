import Testing
@testable import AsyncUV

@Suite struct HostQueryTests {
    private static let label63 = String(repeating: "a", count: 63)
    /// 253 bytes: three labels of 63, one of 61, and three dots.
    private static let longest = "\(label63).\(label63).\(label63).\(String(repeating: "b", count: 61))"

    @Test(arguments: [
        "example.com", "example.com.", "a", "x-1._tcp.example", "xn--bcher-kva.example", "bücher.example", "1.2.3.4.example", "0xg", "127.0.0.1", "::1", "fe80::1%lo",
        longest,
        longest + ".",
    ])
    func fault46_aHostThatMayExistIsTaken(host: String) throws {
        #expect(try HostQuery(host: host, port: 80).host == host)
    }

    @Test(arguments: [
        ("", "neither"), ("a\0.example", "zero byte"), ("\0", "zero byte"), (longest + "b", "254 bytes"), ("b" + longest + ".", "254 bytes"), (".", "0"),
        ("a..b", "0"), (".a", "0"), (label63 + "a.example", "64"), ("a b", "space"), ("a\nb", "control"), ("a\u{7f}b", "control"), ("http://example.com", ":"),
        ("example.com:80", ":"), ("[::1]", "["), ("user@example.com", "@"), ("fe80::1%nosuch", ":"), ("a%lo", "%"), ("::g", ":"), ("127.1", "number"),
        ("2130706433", "number"), ("0x7f000001", "number"), ("0177.0.0.1", "number"), ("1.2.3.4.", "number"), ("0x7f.1", "number"), ("a.0x", "number"),
        ("256.0.0.1", "number"), ("1.2.3.4.5", "number"),
    ])
    func fault46_whatCannotBeAHostIsRefusedBeforeAnybodyIsAsked(host: String, reason: String) async throws {
        let error = #expect(throws: LoopError.self) { try HostQuery(host: host, port: 80) }
        #expect(error?.code == .invalidAddress)
        #expect(error?.operation == "resolve")
        #expect(error?.detail.contains(reason) == true, "\(error?.detail ?? "")")
        await #expect(throws: LoopError.self) { try await SocketAddress.resolve(host: host, port: 80) }
    }

    @Test(arguments: [-1, 65_536, .max, .min])
    func aPortThatIsNoneIsRefused(port: Int) {
        #expect(throws: LoopError.self) { try HostQuery(host: "a", port: port) }
        #expect(throws: LoopError.self) { try HostQuery(host: "a", service: "\(port)") }
    }

    @Test func aServiceIsANameOrDigits() throws {
        #expect(try HostQuery(host: "a", service: "443").service == .port(443))
        #expect(try HostQuery(host: "a", service: "https").service == .named("https"))
        #expect(try HostQuery(host: "::1", service: "https").description == "[::1]:https")
        for wrong in ["", "a b", "ht\0tp", "httpé", String(repeating: "a", count: 64)] {
            #expect(throws: LoopError.self) { try HostQuery(host: "a", service: wrong) }
        }
    }

    @Test(arguments: [
        ("127.0.0.1", HostQuery.Family.any, ["127.0.0.1:80"]), ("::1", .any, ["[::1]:80"]), ("fe80::1%lo", .ipv6, ["[fe80::1%lo]:80"]), ("::1", .ipv4, []),
        ("127.0.0.1", .ipv6, []), ("localhost", .any, ["[::1]:80", "127.0.0.1:80"]), ("LocalHost.", .any, ["[::1]:80", "127.0.0.1:80"]),
        ("a.localhost", .ipv4, ["127.0.0.1:80"]), ("localhost", .ipv6, ["[::1]:80"]),
    ])
    func digitsAndLocalhostNeedNoAsking(host: String, family: HostQuery.Family, addresses: [String]) throws {
        #expect(try HostQuery(host: host, port: 80, family: family).ownAnswer?.addresses.map(\.description) == addresses)
    }

    @Test(arguments: ["example.com", "notlocalhost", "localhost.example"])
    func allElseIsAsked(host: String) throws {
        #expect(try HostQuery(host: host, port: 80).ownAnswer == nil)
    }

    @Test func aServiceThatIsNamedIsAlwaysAsked() throws {
        #expect(try HostQuery(host: "127.0.0.1", service: "https").ownAnswer == nil)
    }
}
