import Testing
import UVCore
@testable import AsyncUV

/// A connection of this loop with itself, over the system's loopback, for the time of `body`; fails if a buffer is not given back.
func withPair(
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable (_ near: TCPStream, _ far: TCPStream) async throws -> Void
) async throws {
    try await withLoop(clock: .system, sourceLocation: sourceLocation) {
        let (near, far) = try await connectedPair()
        do {
            try await body(near, far)
        } catch {
            near.abort()
            far.abort()
            throw error
        }
        near.abort()
        far.abort()
        // A buffer that libuv was writing from comes back when the handle is closed.
        try await until(sourceLocation: sourceLocation) { near.loop.chunks.taken == 0 }
        #expect(near.loop.outstanding == 0, sourceLocation: sourceLocation)
    }
}

func connectedPair() async throws -> (near: TCPStream, far: TCPStream) {
    let listener = try TCPListener.listen(host: "127.0.0.1", port: 0)
    defer { listener.close() }
    let near = try await TCPStream.connect(to: listener.address)
    return (near, try await listener.accept())
}

extension LoopStream {
    /// All bytes up to the end of the stream.
    func readAll() async throws -> [UInt8] {
        var all: [UInt8] = []
        while let bytes = try await read() { all += bytes }
        return all
    }

    /// Writes until a write has to wait and the kernel takes no more, in a task of its own, which is given back. The other side must not read.
    func fillUp(_ sent: Shared<[UInt8]>) async throws -> LoopTask<Void> {
        let writer = LoopTask {
            var value: UInt8 = 0
            while true {
                value &+= 1
                let bytes = [UInt8](repeating: value, count: 10_000)
                try await self.write(bytes)
                sent.value += bytes
            }
        }
        // The kernel moves what it has to the other side's buffer, and then takes more: it is full when nothing has moved for a while.
        var seen = -1, still = 0
        while still < 10 {
            try await LoopTask.sleep(for: .milliseconds(1))
            still = writer.isWaiting && seen == sent.value.count - pendingBytes ? still + 1 : 0
            seen = sent.value.count - pendingBytes
        }
        return writer
    }
}

func expectCode<Value>(
    _ code: LoopError.Code, sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Value
) async {
    let error = await #expect(throws: LoopError.self, sourceLocation: sourceLocation) { _ = try await body() }
    #expect(error?.code == code, "\(error.map { "\($0)" } ?? "")", sourceLocation: sourceLocation)
}

/// What a connect to an address where nobody listens any more fails with. The system may have given its port to another test meanwhile, and a program that another test is starting
/// holds copies of all descriptors until it runs: then it is tried again.
func refusal(at address: SocketAddress, sourceLocation: SourceLocation = #_sourceLocation) async throws -> LoopError {
    var refused: LoopError?
    try await until(sourceLocation: sourceLocation) {
        do {
            try await TCPStream.connect(to: address).abort()
            return false
        } catch let error as LoopError {
            refused = error
            return true
        }
    }
    return try #require(refused, sourceLocation: sourceLocation)
}

/// Gives the other tasks of the loop turns until `condition` holds. It may take another thread's work, and that its time on a busy machine.
func until(sourceLocation: SourceLocation = #_sourceLocation, _ condition: () async throws -> Bool) async throws {
    // Beside all other tests, on two processors, under a sanitizer.
    let deadline = ContinuousClock.now + .seconds(300)
    repeat {
        for _ in 0..<100 {
            if try await condition() { return }
            try await LoopTask.yield()
        }
    } while ContinuousClock.now < deadline
    Issue.record("never became true", sourceLocation: sourceLocation)
}

/// Bytes that say where they stand.
func counted(_ range: Range<Int>) -> [UInt8] {
    // From a block that is made once: byte by byte, millions of them take most of the time that the tests have under a sanitizer.
    var bytes: [UInt8] = []
    bytes.reserveCapacity(range.count)
    var position = range.lowerBound
    while position < range.upperBound {
        let start = position & 0xffff
        let count = min(65_536 - start, range.upperBound - position)
        bytes += countedBlock[start..<start + count]
        position += count
    }
    return bytes
}

private let countedBlock = (0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
