import FuzzedDNSMessages
import FuzzSupport

/// Whatever is taken for a message can be looked at, grows older, answers and is answered, and stays a message through all that.
@main
enum FuzzDNSMessages {
    static func main() {
        fuzz { bytes in
            checkText(String(decoding: bytes, as: UTF8.self))
            guard let message = try? DNSMessage(bytes) else {
                if let header = DNSHeader(of: bytes) { require(read(DNSMessage.refusal(header, .formatError)).header.id == header.id, "another id") }
                return
            }
            require(message.bytes == bytes, "the bytes were changed")
            check(message)
        }
    }

    private static func check(_ message: DNSMessage) {
        for question in message.questions { checkText(question.name.description) }
        for record in message.records {
            guard let name = try? message.name(of: record) else { fatalError("a record without a name") }
            require(name.wire.count <= DNSName.maximumLength, "a name of \(name.wire.count) bytes")
        }

        let lifetime = message.lifetime
        let aged = message.aged(by: lifetime)
        require(read(aged.bytes) == aged, "it has grown old badly")
        for (old, young) in zip(aged.records, message.records) where old.type != .opt {
            require(aged.ttl(of: old) <= message.ttl(of: young), "a record has become younger")
        }

        require(read(message.refusal(.serverFailure)).header.code == .serverFailure, "no refusal")
        guard let query = try? DNSQuery(message) else { return }
        guard let sent = try? query.encoded(id: 7) else { fatalError("a query that cannot be sent") }
        require((try? DNSQuery(read(sent))) == query, "another query was sent")
        for limit in [DNSMessage.maximumSize, message.answerLimit] {
            let answer = message.answering(message, limit: limit)
            require(answer.count <= limit, "an answer of \(answer.count) bytes, and the limit is \(limit)")
            require(query.isAnswered(by: read(answer), id: message.header.id), "it does not answer itself")
        }

        var cache = AnswerCache(capacity: 64)
        cache.store(message, to: query, at: .zero)
        let isKept = lifetime > 0 && message.bytes.count <= 64 * AnswerCache.bytesPerEntry
        require((cache.answer(to: query, at: .zero) != nil) == isKept, "kept, or not")
        require(cache.answer(to: query, at: .seconds(lifetime)) == nil, "kept for too long")
    }

    private static func checkText(_ text: String) {
        guard let name = try? DNSName(text) else { return }
        require(name.wire.count <= DNSName.maximumLength, "a name of \(name.wire.count) bytes")
        let again = try? DNSName(name.description)
        require(again?.wire == name.wire, "\(name) became \(again?.description ?? "nothing")")
    }

    private static func read(_ bytes: [UInt8]) -> DNSMessage {
        do {
            return try DNSMessage(bytes)
        } catch {
            fatalError("what we have made is no message: \(error): \(bytes)")
        }
    }
}
