import Testing
@testable import AsyncUV

/// The example, in a process of its own, on a port of its own.
final class EchoServerProcess: Sendable {
    let program: ChildProgram
    let address: SocketAddress
    /// What it has open while it serves nobody.
    let idleDescriptors: Int

    init(descriptors: Int? = nil) throws {
        program = try ChildProgram("EchoServer", "--port", "0", descriptors: descriptors)
        guard let line = program.line(), line.hasPrefix("listening on ") else {
            throw LoopError(.closed, "EchoServer", "did not start: \(program.end().errors)")
        }
        address = try SocketAddress(parsing: String(line.dropFirst("listening on ".count)))
        // With its first connection libuv opens one of its own, as a reserve, and keeps it.
        idleDescriptors = program.openDescriptors + 1
    }

    /// By SIGTERM: what it has said on its standard error, and its status.
    func end() -> (errors: String, status: Int32) {
        program.send(15)
        let (_, errors, status) = program.end()
        return (errors, status)
    }
}

/// Waits until `condition` holds, for what happens in another process.
func eventually(within limit: Duration = .seconds(20), sourceLocation: SourceLocation = #_sourceLocation, _ condition: () -> Bool) async throws {
    let deadline = ContinuousClock.now + limit
    while !condition() {
        try #require(ContinuousClock.now < deadline, "not true within \(limit)", sourceLocation: sourceLocation)
        try await LoopTask.sleep(for: .milliseconds(5))
    }
}
