import AsyncUV
import Foundation

/// FNV-1a of 64 bits, and a stream of bytes that nobody can predict without the seed.
struct Hash {
    var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }
}

/// Sends so many bytes to an echo server, and compares the hash of what comes back.
func transfer(to address: String, bytes: Int, limit: Duration) throws {
    try EventLoop.run {
        try await withTimeout(limit) {
            let stream = try await TCPStream.connect(to: SocketAddress(parsing: address))
            let writer = LoopTask {
                var hash = Hash()
                var left = bytes
                while left > 0 {
                    let part = (0..<min(left, 10_000)).map { _ in UInt8.random(in: 0...255) }
                    hash.add(part)
                    try await stream.write(part)
                    left -= part.count
                }
                try stream.closeWrite()
                return hash.value
            }
            var hash = Hash()
            var received = 0
            while let part = try await stream.read() {
                hash.add(part)
                received += part.count
            }
            let sent = try await writer.value
            try await stream.close()
            say("\(received) bytes, \(hash.value == sent ? "the same" : "NOT THE SAME")")
            if received != bytes || hash.value != sent { throw LoopError(.unexpectedEnd, "transfer", on: address, "\(received) of \(bytes) bytes") }
        }
    }
}

/// Connects to an address from which no answer comes, with a deadline: it is kept, and no descriptor stays.
func silence(_ address: String) throws {
    try EventLoop.run {
        let before = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
        var latest = Duration.zero
        for _ in 0..<5 {
            let began = ContinuousClock.now
            do {
                try await withTimeout(.milliseconds(200)) { try await TCPStream.connect(to: SocketAddress(parsing: address)).abort() }
                say("somebody answers")
            } catch is TimeoutError {
                latest = max(latest, ContinuousClock.now - began - .milliseconds(200))
            }
        }
        let left = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count - before
        say("5 deadlines, at most \(latest / .milliseconds(1)) ms late, \(left) descriptors left")
    }
}
