import AsyncUV
import DNSMessages

/// A DNS server that is responsible for `example.test`, and remembers what it was asked. On the test's loop.
final class AuthoritativeServer: @unchecked Sendable {
    // Sendable: on the test's loop only.
    let socket: UDPSocket
    private let listener: TCPListener
    /// Each query that came, in order: `www.example.test. A`, with ` by TCP` if it was.
    private(set) var asked: [String] = []
    /// Takes queries, and does nothing.
    var isSilent = false
    /// So long each answer takes.
    var delay = Duration.zero
    /// All queries, as they came.
    private(set) var messages: [DNSMessage] = []

    var address: SocketAddress { socket.address }

    init() throws {
        var attempts = 0
        while true {
            let socket = try UDPSocket.bind(host: "127.0.0.1", port: 0)
            do {
                listener = try TCPListener.listen(at: socket.address)
                self.socket = socket
                return
            } catch {
                socket.close()
                attempts += 1
                if attempts == 10 { throw error }
            }
        }
    }

    /// Until it is cancelled.
    func serve() async throws {
        defer {
            socket.close()
            listener.close()
        }
        try await withLoopTaskGroup { group in
            try group.addTask {
                while true {
                    let datagram = try await self.socket.receive()
                    try group.addTask {
                        for reply in try await self.replies(to: datagram.bytes, byTCP: false) { try await self.socket.send(reply, to: datagram.sender) }
                    }
                }
            }
            try group.addTask {
                while true {
                    let stream = try await self.listener.accept()
                    try group.addTask {
                        defer { stream.abort() }
                        let length = try await stream.read(exactly: 2)
                        let query = try await stream.read(exactly: Int(length[0]) << 8 | Int(length[1]))
                        for reply in try await self.replies(to: query, byTCP: true) {
                            try await stream.write(parts: [[UInt8(reply.count >> 8), UInt8(reply.count & 0xff)], reply])
                        }
                        try await stream.close()
                    }
                }
            }
        }
    }

    private func replies(to bytes: [UInt8], byTCP: Bool) async throws -> [[UInt8]] {
        let query = try DNSMessage(bytes)
        let question = query.questions[0]
        asked.append("\(question)" + (byTCP ? " by TCP" : ""))
        messages.append(query)
        if delay > .zero { try await LoopTask.sleep(for: delay) }
        if isSilent { return [] }
        var draft = DNSDraft(DNSHeader(id: query.header.id, flags: [.response, .authoritative]), query.questions)
        if query.extensions != nil { draft.extensions = DNSExtensions(payloadSize: 4096, wantsDNSSEC: query.extensions?.wantsDNSSEC ?? false) }
        let labels = question.name.description.split(separator: ".").map(String.init)
        switch (labels.first ?? "", question.type) {
        case ("nobody", _), (_, .mx):
            // No such name, or no such record.
            if labels.first == "nobody" { draft.header.code = .nameError }
            let zone = try DNSName("example.test")
            draft.authorities = [DNSDraft.Record(zone, .soa, ttl: 900, data: zone.wire + zone.wire + [UInt8](repeating: 0, count: 16) + [0, 0, 0, 60])]
        case ("large", .txt):
            if byTCP {
                draft.answers = (0..<20).map { index in
                    DNSDraft.Record(question.name, .txt, ttl: 300, data: [200] + [UInt8](repeating: 0x61 + UInt8(index), count: 200))
                }
            } else {
                draft.header.flags.insert(.truncated)
            }
        case ("refused", _):
            draft.header.code = .refused
        case (_, .ptr):
            draft.answers = [DNSDraft.Record(question.name, .ptr, ttl: 300, data: try DNSName("www.example.test").wire)]
        case (let label, .a):
            let number = UInt8(label.drop { !$0.isNumber }) ?? 1
            draft.answers = [DNSDraft.Record(question.name, .a, ttl: label == "short" ? 0 : 300, data: [192, 0, 2, number])]
        case ("forged", .txt):
            // What an attacker might send first: all of it must be passed over.
            func text(_ text: String) -> [DNSDraft.Record] { [DNSDraft.Record(question.name, .txt, ttl: 300, data: [UInt8(text.utf8.count)] + Array(text.utf8))] }
            draft.answers = text("forged")
            var forgeries = [[UInt8](repeating: 0xff, count: 100), []]
            var forgery = draft
            forgery.header.id &+= 1
            forgeries.append(try forgery.encoded())
            forgery = draft
            forgery.questions = [DNSQuestion(try DNSName("other.example.test"), .txt)]
            forgeries.append(try forgery.encoded())
            forgery = draft
            forgery.header.flags.remove(.response)
            forgeries.append(try forgery.encoded())
            draft.answers = text("genuine")
            return forgeries + [try draft.encoded()]
        default: break
        }
        return [try draft.encoded()]
    }
}
