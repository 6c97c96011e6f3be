import AsyncUV
import DNSMessages
import Foundation
import Testing

/// The example, in a process of its own, on a port of its own.
final class DNSForwarderProcess: Sendable {
    let program: ChildProgram
    let address: SocketAddress
    /// What it has open while it serves nobody.
    let idleDescriptors: Int
    private let folder: URL

    init(upstreams: [SocketAddress], _ options: [String] = []) throws {
        program = try ChildProgram("DNSForwarder", arguments: ["--port", "0"] + upstreams.flatMap { ["--upstream", "\($0)"] } + options)
        guard let line = program.line(), line.hasPrefix("listening on ") else {
            throw LoopError(.closed, "DNSForwarder", "did not start: \(program.end().errors)")
        }
        address = try SocketAddress(parsing: String(line.dropFirst("listening on ".count)))
        idleDescriptors = program.openDescriptors
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("dns-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// What dig makes of it.
    func dig(_ arguments: String...) async throws -> Dug { try await dig(arguments) }

    /// It must end well. The test's loop, on which it may be served, goes on meanwhile.
    func dig(_ arguments: [String]) async throws -> Dug {
        let options = ["@\(address.host)", "-p", "\(address.port)", "+tries=1", "+timeout=30"]
        let tool = try Tool("dig", arguments: options + arguments, input: "/dev/null", output: folder)
        do {
            try await eventually(within: .seconds(60)) { !tool.isRunning }
        } catch {
            tool.kill()
            throw error
        }
        let status = tool.end()
        let output = String(decoding: try tool.received(), as: UTF8.self)
        #expect(status == 0, "dig \(arguments): \(output)")
        return Dug(text: output)
    }

    /// Sends a datagram, and waits for an answer to it: nil if another one's comes first, which is sent behind it.
    func exchange(_ bytes: [UInt8]) async throws -> [UInt8]? {
        let socket = try UDPSocket.connect(to: address)
        defer { socket.close() }
        try await socket.send(bytes)
        // Of one socket's datagrams, none overtakes another, and what needs nobody else is answered in order.
        try await socket.send(sentinel)
        let answer = try await socket.receive().bytes
        return answer.starts(with: sentinel.prefix(2)) ? nil : answer
    }

    /// A query that is refused at once.
    private var sentinel: [UInt8] { [0xfe, 0xed, 0x08] + [UInt8](repeating: 0, count: 9) }

    /// By SIGTERM: what it printed, what it said on its standard error, and its status.
    func end() -> (output: [String], errors: String, status: Int32) {
        program.send(15)
        return program.end()
    }
}

/// What dig has printed.
struct Dug {
    let text: String

    /// NOERROR, …
    var status: String { text.firstMatch(of: /status: ([A-Z]+)/).map { String($0.1) } ?? "" }
    var flags: Set<String> { Set(text.firstMatch(of: /flags: ([a-z ]+);/).map { $0.1.split(separator: " ").map(String.init) } ?? []) }
    /// The records of all sections, their fields separated by a blank.
    var records: [String] {
        text.split(separator: "\n").filter { !$0.hasPrefix(";") }.map { $0.split { $0 == "\t" || $0 == " " }.joined(separator: " ") }
    }
    /// The time to live of the first record.
    var ttl: Int? { records.first.flatMap { Int($0.split(separator: " ")[1]) } }
    /// What dig finds fault with.
    var warnings: [Substring] { text.split(separator: "\n").filter { $0.localizedCaseInsensitiveContains("warning") } }
}
