import Foundation
import Testing
import UVCore
@testable import AsyncUV

/// A kind of connection, for tests that all kinds have to pass.
struct StreamKind: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// Both ends of a new connection of the running loop with itself.
    let makePair: @Sendable () async throws -> (near: LoopStream, far: LoopStream)

    static let tcp = StreamKind(testDescription: "TCP") { try await connectedPair() }

    static let unix = StreamKind(testDescription: "Unix") { try UnixStream.pair() }

    /// Carries bytes both ways, and each half can be closed.
    static let twoWay = [tcp, unix]
}

/// As `withPair`, for any kind.
func withStreams(
    _ kind: StreamKind, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable (_ near: LoopStream, _ far: LoopStream) async throws -> Void
) async throws {
    try await withLoop(clock: .system, sourceLocation: sourceLocation) {
        let (near, far) = try await kind.makePair()
        do {
            try await body(near, far)
        } catch {
            near.abort()
            far.abort()
            throw error
        }
        near.abort()
        far.abort()
        try await until(sourceLocation: sourceLocation) { near.loop.chunks.taken == 0 }
        #expect(near.loop.outstanding == 0, sourceLocation: sourceLocation)
    }
}

extension EventLoop {
    /// Calls `body` in every turn, ahead of what a poll makes ready, until it returns false.
    func inEveryTurn(_ body: @escaping () -> Bool) {
        ready.append(.call { [unowned self] in if body() { inEveryTurn(body) } })
    }

    /// Descriptors that the kernel watches for this loop, libuv's own included.
    var watchedDescriptors: Int {
        guard let uv, let text = try? String(contentsOfFile: "/proc/self/fdinfo/\(uv.backendDescriptor)", encoding: .utf8) else { return -1 }
        return text.split(separator: "\n").count { $0.hasPrefix("tfd:") }
    }
}

/// The processor time of the calling thread.
func threadTime() throws -> Duration {
    let fields = try String(contentsOfFile: "/proc/thread-self/schedstat", encoding: .utf8).split(separator: " ")
    return .nanoseconds(try #require(fields.first.flatMap { Int64($0) }))
}

/// Fails if the loop is busy while nothing is to be done on it: for 100 ms nothing but this may run.
func expectRest(of loop: EventLoop, sourceLocation: SourceLocation = #_sourceLocation) async throws {
    let turn = loop.turn, began = try threadTime()
    try await LoopTask.sleep(for: .milliseconds(100))
    #expect(loop.turn - turn < 20, sourceLocation: sourceLocation)
    let used = try threadTime() - began
    #expect(used < .milliseconds(50), "\(used)", sourceLocation: sourceLocation)
}
