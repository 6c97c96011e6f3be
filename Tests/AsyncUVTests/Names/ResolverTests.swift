import Testing
@testable import AsyncUV

/// A resolver that knows what it was told, and nothing else.
final class TableResolver: Resolver {
    private let table: [String: [String]]
    let asked = Log()

    init(_ table: [String: [String]]) { self.table = table }

    func addresses(for query: HostQuery) async throws -> HostAnswer {
        asked(query.description)
        guard let hosts = table[query.host], case .port(let port) = query.service else {
            throw LoopError(.nameNotFound, "resolve", on: query.description, "not in the table")
        }
        return HostAnswer(addresses: try hosts.map { try SocketAddress(host: $0, port: Int(port)) })
    }

    func hostName(of address: SocketAddress) async throws -> String {
        asked(address.host)
        guard let name = table.first(where: { $0.value.contains(address.host) })?.key else {
            throw LoopError(.nameNotFound, "resolve", on: address.host, "not in the table")
        }
        return name
    }
}

@Suite struct ResolverTests {
    @Test func aLoopAsksTheResolverThatItWasGiven() async throws {
        try await withLoop {
            let loop = try EventLoop.requireCurrent("test")
            #expect(loop.resolver === SystemResolver.shared)
            let table = TableResolver(["host.example": ["10.0.0.1", "::2"]])
            loop.resolver = table
            #expect(try await SocketAddress.resolve(host: "host.example", port: 80).map(\.description) == ["10.0.0.1:80", "[::2]:80"])
            #expect(try await loop.hostName(of: SocketAddress(host: "::2", port: 80)) == "host.example")
            #expect(table.asked.entries == ["host.example:80", "::2"])
        }
    }

    @Test func anotherOneMayBeAskedForOneCall() async throws {
        try await withLoop {
            let loop = try EventLoop.requireCurrent("test")
            loop.resolver = TableResolver([:])
            let table = TableResolver(["host.example": ["10.0.0.1"]])
            #expect(try await SocketAddress.resolve(host: "host.example", port: 80, using: table).count == 1)
            let error = await #expect(throws: LoopError.self) { try await SocketAddress.resolve(host: "host.example", port: 80) }
            #expect(error?.code == .nameNotFound)
        }
    }

    @Test func doublesAndOtherFamiliesAreTakenOut() async throws {
        try await withLoop {
            let table = TableResolver(["host.example": ["10.0.0.2", "::2", "10.0.0.1", "10.0.0.2", "::2"], "six.example": ["::1"], "none.example": []])
            func resolve(_ host: String, _ family: HostQuery.Family = .any) async throws -> [String] {
                try await SocketAddress.resolve(host: host, port: 80, family: family, using: table).map(\.host)
            }
            let all = try await resolve("host.example")
            #expect(all == ["10.0.0.2", "::2", "10.0.0.1"])
            #expect(try await resolve("host.example", .ipv4) == ["10.0.0.2", "10.0.0.1"])
            #expect(try await resolve("host.example", .ipv6) == ["::2"])
            for (host, family) in [("six.example", HostQuery.Family.ipv4), ("none.example", .any), ("127.0.0.1", .ipv6)] {
                let error = await #expect(throws: LoopError.self) { try await resolve(host, family) }
                #expect(error?.code == .nameNotFound)
                #expect(error?.subject == "\(host):80")
            }
        }
    }

    @Test func digitsAndLocalhostAskNobodyAndDoNotSuspend() async throws {
        try await withLoop {
            let loop = try EventLoop.requireCurrent("test")
            let table = TableResolver([:])
            loop.resolver = table
            let turn = loop.turn
            #expect(try await SocketAddress.resolve(host: "::1", port: 80) == [.loopbackIPv6(port: 80)])
            #expect(try await SocketAddress.resolve(host: "localhost", port: 80) == [.loopbackIPv6(port: 80), .loopback(port: 80)])
            #expect(loop.turn == turn)
            #expect(table.asked.entries.isEmpty)
        }
    }
}
