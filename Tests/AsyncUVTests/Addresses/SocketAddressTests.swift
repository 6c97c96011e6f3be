import Testing
@testable import AsyncUV

@Suite struct SocketAddressTests {
    @Test(arguments: ["127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:443", "[::]:0", "[2001:db8::ff00:42:8329]:1", "[fe80::1%lo]:7"])
    func printsWhatItParsed(text: String) throws {
        let address = try SocketAddress(parsing: text)
        #expect(address.description == text)
        #expect(address == (try SocketAddress(host: address.host, port: address.port)))
    }

    @Test(arguments: [
        "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1:1x", "256.0.0.1:1", "1.2.3:1", "::1:80", "[::1]",
        "[127.0.0.1]:1", "[]:1", "[::g]:1", "example.com:80", "[fe80::1%nosuchinterface]:1", " 127.0.0.1:1", "127.0.0.1 :1", "127.0.0.1\0:1",
    ])
    func refusesWhatIsNoAddress(text: String) {
        let error = #expect(throws: LoopError.self) { try SocketAddress(parsing: text) }
        #expect(error?.code == .invalidAddress)
    }

    @Test func localhostIsTheLoopbackAddress() throws {
        #expect(try SocketAddress(host: "localhost", port: 1).description == "127.0.0.1:1")
    }

    @Test func aNameIsNotLookedUpAndTheErrorSaysSo() throws {
        let error = #expect(throws: LoopError.self) { try SocketAddress(host: "example.com", port: 80) }
        #expect(error?.detail.contains("not looked up") == true)
        #expect(throws: LoopError.self) { try SocketAddress(host: "::1", port: 65_536) }
    }
}
