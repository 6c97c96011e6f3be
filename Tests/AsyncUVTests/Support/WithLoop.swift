import Foundation
import Testing
@testable import AsyncUV
import UVCore

/// Runs `body` as the first task of a fresh loop on a thread of its own, on virtual time unless said otherwise, and fails if it leaves a task, a handle or
/// an armed timer behind, or reports something that the test has not set a handler for. The task is created here, so that Swift Testing's task-locals are there in `body`.
@discardableResult
func withLoop<Value: Sendable>(
    clock: EventLoop.Clock = .virtual,
    network: any Network = SystemNetwork.shared,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    let loop = try EventLoop(clock: clock, network: network)
    loop.setReportHandler { Issue.record("unexpected report: \($0)", sourceLocation: sourceLocation) }
    let task = LoopTask(name: "test", on: loop) { try await body() }
    return try await onOwnThread {
        let result = Result { try loop.runUntilComplete(task) }
        try loop.runUntilTidy()
        let tasks = loop.unfinishedTasks.map(\.name)
        let armed = loop.statistics.armedTimers
        let handles = try loop.close()
        #expect(tasks.isEmpty, "tasks left behind: \(tasks)", sourceLocation: sourceLocation)
        #expect(armed == 0, "timers left armed: \(armed)", sourceLocation: sourceLocation)
        #expect(handles.isEmpty, "handles left open: \(handles)", sourceLocation: sourceLocation)
        return try result.get()
    }
}

/// A thread for a loop: Swift's own pool must not be blocked by it, since the code under test may need that pool.
func onOwnThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    return try await withCheckedThrowingContinuation { continuation in
        let thread = Thread { continuation.resume(with: Result { try body() }) }
        thread.stackSize = 1 << 20
        thread.start()
    }
}

extension EventLoop {
    /// Lets callbacks that are ready now, and closes that were begun, come to their end.
    func runUntilTidy() throws {
        for _ in 0..<4 {
            stop()
            try runForever()
        }
    }
}

/// What happened, in order, across the tasks of a test.
final class Log: @unchecked Sendable {
    private let lock = ThreadLock()
    private var stored: [String] = []

    var entries: [String] { lock.withLock { stored } }

    func callAsFunction(_ entry: String) { lock.withLock { stored.append(entry) } }
}
