import AsyncUV
import Foundation

/// Random cancels of reads, accepts, connects and queue gets under load, until there were so many. What was sent must have come, once and in order; every
/// connection must be accounted for, and every descriptor given back.
func cancelIO(_ wanted: Int) async throws -> Measurement {
    let before = ThisProcess.openDescriptors
    let load = try CancelledLoad(wanted)
    let measurement = try await measure(wanted) { try await load.run() }
    let after = ThisProcess.openDescriptors
    // libuv keeps one descriptor in reserve from the first stream on.
    guard after <= before + 1 else { throw Wrong("lost or doubled: descriptors: \(before) before, \(after) after") }
    var result = measurement
    result.extra = load.report + [("descriptors_before", Double(before)), ("descriptors_after", Double(after))]
    return result
}

/// On one loop's thread.
private final class CancelledLoad: @unchecked Sendable {
    enum Kind: String, CaseIterable { case read, accept, connect, get }

    private struct Piece: Sendable {
        let connection: Int
        let offset: Int
        let bytes: [UInt8]
    }

    private let wanted: Int
    private var cancels: [Kind: Int] = [:]
    private var connected = 0
    private var accepted = 0
    /// Accepted, and gone before they said who they are: their connect was cancelled when the kernel had made the connection.
    private var nameless = 0
    private var sent: [Int: Int] = [:]
    private var received: [Int: Int] = [:]
    /// From here on a cancel ends a task for good.
    private var isEnding = false
    private var seed: UInt64 = 0x9E37_79B9_7F4A_7C15
    private let pieces: Queue<Piece>

    init(_ wanted: Int) throws {
        self.wanted = wanted
        pieces = try Queue(maxSize: 64)
    }

    var report: [(String, Double)] {
        Kind.allCases.map { ("cancelled_\($0.rawValue)", Double(cancels[$0] ?? 0)) } + [
            ("connected", Double(connected)), ("accepted", Double(accepted)), ("nameless", Double(nameless)),
            ("bytes", Double(received.values.reduce(0, +))),
        ]
    }

    private var isEnough: Bool { Kind.allCases.allSatisfy { (cancels[$0] ?? 0) >= wanted / 20 } && cancels.values.reduce(0, +) >= wanted }

    private func random(_ limit: Int) -> Int {
        seed ^= seed << 13
        seed ^= seed >> 7
        seed ^= seed << 17
        return Int(seed % UInt64(limit))
    }

    /// Tries until it comes through, and is cancelled at a random moment each time.
    private func hounded<Value: Sendable>(_ kind: Kind, _ operation: @escaping @Sendable () async throws -> Value) async throws -> Value {
        while true {
            let task = LoopTask { try await operation() }
            defer { task.cancel() }
            for _ in 0..<random(6) { try await LoopTask.yield() }
            if random(4) == 0 { try await LoopTask.sleep(for: .microseconds(random(2_000))) }
            task.cancel()
            do {
                return try await task.value
            } catch let error as CancelledError {
                if isEnding { throw error }
                cancels[kind, default: 0] += 1
            }
        }
    }

    func run() async throws {
        let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
        let acceptors = (0..<4).map { _ in LoopTask { [self] in try await accept(listener) } }
        let consumers = (0..<4).map { _ in LoopTask { [self] in try await consume() } }
        try await withLoopTaskGroup { group in
            for _ in 0..<16 { try group.addTask { [self] in try await connect(to: listener.address) } }
        }
        // Whoever is in the backlog is taken, and whoever was taken is read to the end.
        do {
            try await withTimeout(.seconds(60)) {
                while received != sent || accepted - nameless != connected { try await LoopTask.sleep(for: .milliseconds(5)) }
            }
        } catch is TimeoutError {
            let missing = sent.filter { received[$0.key] != $0.value }.keys.sorted()
            throw Wrong(
                "lost or doubled: \(connected) connections made, \(accepted) accepted, \(nameless) of these without a name; incomplete: \(missing.prefix(10))")
        }
        isEnding = true
        for task in acceptors { task.cancel() }
        for task in consumers { task.cancel() }
        for task in acceptors + consumers {
            do { try await task.value } catch is CancelledError {}
        }
        listener.close()
    }

    private func connect(to address: SocketAddress) async throws {
        while !isEnough {
            let stream = try await hounded(.connect) { try await TCPStream.connect(to: address) }
            let number = connected
            connected += 1
            let count = random(5_000)
            sent[number] = count
            try await stream.write((0..<8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) })
            var offset = 0
            while offset < count {
                let end = min(count, offset + 1 + random(2_000))
                try await stream.write((offset..<end).map { pattern(number, $0) })
                offset = end
            }
            try await stream.close()
        }
    }

    private func pattern(_ connection: Int, _ offset: Int) -> UInt8 { UInt8(truncatingIfNeeded: connection &* 31 &+ offset &* 7 &+ offset >> 8) }

    private func accept(_ listener: TCPListener) async throws {
        while true {
            let stream = try await hounded(.accept) { try await listener.accept() }
            accepted += 1
            LoopTask { [self] in try await read(stream) }
        }
    }

    private func read(_ stream: TCPStream) async throws {
        let header: [UInt8]
        do {
            header = try await hounded(.read) { try await stream.read(exactly: 8) }
        } catch let error as LoopError where error.code == .unexpectedEnd || error.code == .connectionLost {
            nameless += 1
            stream.abort()
            return
        }
        let number = header.reversed().reduce(0) { $0 << 8 | Int($1) }
        var offset = 0
        while true {
            let limit = 1 + random(2_000)
            guard let bytes = try await hounded(.read, { try await stream.read(atMost: limit) }) else { break }
            try await pieces.put(Piece(connection: number, offset: offset, bytes: bytes))
            offset += bytes.count
        }
        received[number, default: 0] += 0
        try await stream.close()
    }

    private func consume() async throws {
        while true {
            let piece = try await hounded(.get) { [self] in try await pieces.get() }
            for (index, byte) in piece.bytes.enumerated() where byte != pattern(piece.connection, piece.offset + index) {
                throw Wrong("lost or doubled: byte \(piece.offset + index) of connection \(piece.connection)")
            }
            received[piece.connection, default: 0] += piece.bytes.count
        }
    }
}
