import Foundation
import Testing
@testable import AsyncUV

/// A folder for the time of `body`, with a name that is short enough for sockets in it.
func withFolder<Value>(_ body: (_ path: String) async throws -> Value) async throws -> Value {
    let path = "/tmp/auv-\(String(UInt32.random(in: .min ... .max), radix: 36))"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
}

/// Which file it is; nil if there is none.
func inode(_ path: String) -> UInt64? {
    (try? FileManager.default.attributesOfItem(atPath: path))?[.systemFileNumber] as? UInt64
}

func mode(_ path: String) -> Int? {
    (try? FileManager.default.attributesOfItem(atPath: path))?[.posixPermissions] as? Int
}

/// What a server leaves behind that ends without closing.
func leaveDeadSocket(at path: String) throws {
    let listener = try UnixListener.listen(path: path + ".new")
    try FileManager.default.moveItem(atPath: path + ".new", toPath: path)
    listener.close()
}

/// A connection of this loop with itself, for the time of `body`.
func withUnixPair(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: @escaping @Sendable (_ near: UnixStream, _ far: UnixStream) async throws -> Void
) async throws {
    try await withLoop(clock: .system, sourceLocation: sourceLocation) {
        let (near, far) = try UnixStream.pair()
        defer {
            near.abort()
            far.abort()
        }
        try await body(near, far)
    }
}

/// Says something to a server and gets it back from the other end, which a test has accepted.
func expectConnected(_ near: UnixStream, _ far: UnixStream, sourceLocation: SourceLocation = #_sourceLocation) async throws {
    try await near.write("there".utf8)
    #expect(try await far.read(exactly: 5) == Array("there".utf8), sourceLocation: sourceLocation)
    try await far.write("back".utf8)
    #expect(try await near.read(exactly: 4) == Array("back".utf8), sourceLocation: sourceLocation)
}

/// The system refuses, for the reason of that name.
func expectSystem<Value>(
    _ name: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Value
) async {
    let error = await #expect(throws: LoopError.self, sourceLocation: sourceLocation) { _ = try await body() }
    #expect(error?.code == .system && error?.detail.contains("(\(name))") == true, "\(error.map { "\($0)" } ?? "")", sourceLocation: sourceLocation)
}

/// Where threads wait for each other.
final class StartLine: @unchecked Sendable {
    // Sendable: by its lock.
    private let condition = NSCondition()
    private var arrived = 0

    /// Blocks until so many have arrived since it was made.
    func arriveAndWait(for count: Int) {
        condition.lock()
        arrived += 1
        condition.broadcast()
        while arrived < count { condition.wait() }
        condition.unlock()
    }
}

func contents(_ folder: String) -> [String] { (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? ["unreadable"] }
