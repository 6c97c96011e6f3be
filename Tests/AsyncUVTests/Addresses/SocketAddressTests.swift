import Foundation
import Testing
@testable import AsyncUV
import UVCore

@Suite struct SocketAddressTests {
    @Test(arguments: [
        "127.0.0.1:80", "0.0.0.0:0", "255.255.255.255:65535", "[::1]:443", "[::]:0", "[2001:db8::ff00:42:8329]:1", "[fe80::1%lo]:7", "[::ffff:1.2.3.4]:9",
        "[2001:db8:0:1:1:1:1:1]:1", "[fe80::1%4294967295]:7",
    ])
    func fault46_printsWhatItParsed(text: String) throws {
        let address = try SocketAddress(parsing: text)
        #expect(address.description == text)
        #expect(address == (try SocketAddress(host: address.host, port: address.port)))
        #expect(address == (try SocketAddress(bytes: address.bytes, port: address.port, zone: address.zone)))
        #expect(SocketAddress(text) == address)
        #expect(try JSONDecoder().decode([SocketAddress].self, from: JSONEncoder().encode([address])) == [address])
    }

    @Test(arguments: [
        "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1:1x", "256.0.0.1:1", "1.2.3:1", "::1:80", "[::1]",
        "[127.0.0.1]:1", "[]:1", "[::g]:1", "example.com:80", "[fe80::1%nosuchinterface]:1", " 127.0.0.1:1", "127.0.0.1 :1", "127.0.0.1\0:1", "127.0.0.1%lo:1",
        "[fe80::1%]:1", "[fe80::1%0]:1", "[fe80::1%01]:1", "[fe80::1%-1]:1", "[fe80::1%4294967296]:1", "[fe80::1%lo%lo]:1", "01.2.3.4:1", "0x7f.0.0.1:1",
        "127.0.0.1:99999999999999999999", "[::1]:٣", "[\u{301}::1]:1",
        "[1111:2222:3333:4444:5555:6666:7777:8888:9999]:1", "[0001:0001:0001:0001:0001:0001:255.255.255.255xxxxxxxxxxxxx%lo]:1",
    ])
    func fault46_refusesWhatIsNoAddress(text: String) {
        let error = #expect(throws: LoopError.self) { try SocketAddress(parsing: text) }
        #expect(error?.code == .invalidAddress)
        #expect(SocketAddress(text) == nil)
    }

    @Test func localhostIsTheLoopbackAddress() throws {
        #expect(try SocketAddress(host: "localhost", port: 1).description == "127.0.0.1:1")
    }

    @Test func aNameIsNotLookedUpAndTheErrorSaysSo() throws {
        let error = #expect(throws: LoopError.self) { try SocketAddress(host: "example.com", port: 80) }
        #expect(error?.detail.contains("not looked up") == true)
        #expect(throws: LoopError.self) { try SocketAddress(host: "::1", port: 65_536) }
    }

    @Test func wellKnownAddressesAreWhatTheyAreCalled() {
        #expect(SocketAddress.anyIPv4(port: 80).description == "0.0.0.0:80")
        #expect(SocketAddress.anyIPv6(port: 80).description == "[::]:80")
        #expect(SocketAddress.loopback(port: 80).description == "127.0.0.1:80")
        #expect(SocketAddress.loopbackIPv6().description == "[::1]:0")
        #expect(SocketAddress.loopback().with(port: 7).port == 7)
    }

    @Test(arguments: [
        ("0.0.0.0", "unspecified"), ("::", "unspecified"), ("127.0.0.1", "loopback"), ("127.255.0.9", "loopback"), ("::1", "loopback"),
        ("128.0.0.1", ""), ("::2", ""), ("224.0.0.1", "multicast"), ("239.255.255.255", "multicast"), ("240.0.0.1", ""), ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"), ("169.254.1.1", "link-local"), ("169.253.1.1", ""), ("fe80::1", "link-local"), ("febf::1", "link-local"), ("fec0::1", ""),
        ("10.1.2.3", "private"), ("172.16.0.1", "private"), ("172.31.0.1", "private"), ("172.32.0.1", ""), ("192.168.0.1", "private"), ("192.169.0.1", ""),
        ("fc00::1", "private"), ("fdff::1", "private"), ("fe00::1", ""), ("2001:db8::1", ""),
    ])
    func saysWhatKindOfAddressItIs(host: String, kind: String) throws {
        func kinds(_ address: SocketAddress) -> String {
            let kinds = [
                (address.isUnspecified, "unspecified"), (address.isLoopback, "loopback"), (address.isMulticast, "multicast"), (address.isBroadcast, "broadcast"),
                (address.isLinkLocal, "link-local"), (address.isPrivate, "private"),
            ]
            return kinds.filter(\.0).map(\.1).joined(separator: " ")
        }
        let address = try SocketAddress(host: host, port: 80)
        #expect(kinds(address) == kind)
        #expect(!address.isIPv4Mapped && address.unmapped == address)
        if !address.isIPv6 {
            let mapped = try SocketAddress(host: "::ffff:\(host)", port: 80)
            #expect(mapped.isIPv4Mapped && mapped != address)
            #expect(mapped.unmapped == address)
            #expect(kinds(mapped) == kind)
        }
    }

    @Test func sortsByFamilyThenAddressThenPort() throws {
        let sorted = ["9.0.0.0:1", "10.0.0.0:1", "10.0.0.0:2", "[::]:1", "[::1]:0", "[1::]:0", "[fe80::1]:9", "[fe80::1%lo]:1"]
        let addresses = try sorted.map { try SocketAddress(parsing: $0) }
        #expect(addresses.reversed().sorted().map(\.description) == sorted)
    }

    @Test func bytesThatAreNoAddressAreRefused() {
        #expect(throws: LoopError.self) { try SocketAddress(bytes: [1, 2, 3], port: 1) }
        #expect(throws: LoopError.self) { try SocketAddress(bytes: [1, 2, 3, 4], port: 1, zone: 1) }
        #expect(throws: LoopError.self) { try SocketAddress(bytes: [1, 2, 3, 4], port: -1) }
    }

    @Test func fault46_addressesThatAreMadeAtRandomSurvivePrinting() throws {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2_000 {
            // Words of zeros, because those are what print abbreviates.
            let bytes = (0..<8).flatMap { _ in Bool.random(using: &random) ? [UInt8(0), 0] : [UInt8.random(in: 0...255), .random(in: 0...255)] }
            let address = try SocketAddress(bytes: Bool.random() ? bytes : [UInt8](bytes.prefix(4)), port: .random(in: 0...65_535))
            #expect(SocketAddress(address.description) == address)
            #expect(try SocketAddress(bytes: address.bytes, port: address.port) == address)
        }
    }
}
