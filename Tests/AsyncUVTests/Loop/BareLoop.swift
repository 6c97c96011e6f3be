import Foundation
import Testing
@testable import AsyncUV

/// A fresh loop on a thread of its own that `body` runs by itself; closed afterwards, and fails if a handle was left open.
func withBareLoop<Value: Sendable>(
    clock: EventLoop.Clock = .virtual,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable (EventLoop) throws -> Value
) async throws -> Value {
    let (result, handles) = try await onOwnThread {
        let loop = try EventLoop(clock: clock)
        let result = Result { try body(loop) }
        return (result, try loop.close())
    }
    #expect(handles.isEmpty, "handles left open: \(handles)", sourceLocation: sourceLocation)
    return try result.get()
}

/// A second loop that runs on a thread of its own while `body` does.
func withRunningLoop<Value>(
    clock: EventLoop.Clock = .virtual, _ body: (EventLoop) async throws -> Value
) async throws -> Value {
    let started = Started()
    async let ended = onOwnThread {
        do {
            let loop = try EventLoop(clock: clock)
            started.loop = .success(loop)
            started.signal()
            try loop.runForever()
            return try loop.close()
        } catch {
            started.loop = .failure(error)
            started.signal()
            throw error
        }
    }
    let loop = try await started.wait()
    do {
        let value = try await body(loop)
        loop.stop()
        let left = try await ended
        #expect(left.isEmpty)
        return value
    } catch {
        loop.stop()
        throw error
    }
}

private final class Started: @unchecked Sendable {
    private let semaphore = DispatchSemaphore(value: 0)
    // Written before the semaphore is signalled, read after.
    var loop: Result<EventLoop, any Error>?

    func signal() { semaphore.signal() }

    func wait() async throws -> EventLoop {
        try await onOwnThread { [self] in
            semaphore.wait()
            return try #require(loop).get()
        }
    }
}

private final class Outcome<Value>: @unchecked Sendable {
    // Sendable: written before the semaphore is signalled, read after.
    var result: Result<Value, any Error>?
}

/// Runs `body` on another thread, and blocks this one until it returned.
@discardableResult
func onOtherThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) throws -> Value {
    let outcome = Outcome<Value>()
    let done = DispatchSemaphore(value: 0)
    let thread = Thread {
        outcome.result = Result { try body() }
        done.signal()
    }
    thread.start()
    done.wait()
    return try #require(outcome.result).get()
}
