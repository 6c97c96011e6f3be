import AsyncUV
import Foundation

/// Callbacks posted from a second thread.
func wakes(_ count: Int) async throws -> Measurement {
    guard let loop = EventLoop.current else { throw Wrong("no event loop runs here") }
    let done = try Future<Void>()
    return try await measure(count) {
        Thread.detachNewThread {
            for index in 1...count {
                do {
                    try loop.callSoonThreadsafe { if index == count { try done.setResult(()) } }
                } catch {
                    FileHandle.standardError.write(Data("\(error)\n".utf8))
                }
            }
        }
        try await done.value
    }
}

/// The same, one at a time, each after the answer to the one before.
func wakesWithReply(_ count: Int) async throws -> Measurement {
    guard let loop = EventLoop.current else { throw Wrong("no event loop runs here") }
    let done = try Future<Void>()
    return try await measure(count) {
        Thread.detachNewThread {
            let reply = DispatchSemaphore(value: 0)
            do {
                for _ in 0..<count {
                    try loop.callSoonThreadsafe { reply.signal() }
                    reply.wait()
                }
                try loop.callSoonThreadsafe { try done.setResult(()) }
            } catch {
                FileHandle.standardError.write(Data("\(error)\n".utf8))
            }
        }
        try await done.value
    }
}

/// A task on the loop of another thread, started and awaited from here, one after the other.
func calls(_ count: Int) async throws -> Measurement {
    let other = try EventLoop()
    let closed = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
        do {
            try other.runForever()
            try other.close()
        } catch {
            FileHandle.standardError.write(Data("\(error)\n".utf8))
        }
        closed.signal()
    }
    let result = try await measure(count) {
        for number in 0..<count {
            guard try await LoopTask(on: other, operation: { number }).value == number else { throw Wrong("another task's value") }
        }
    }
    try other.callSoonThreadsafe { other.stop() }
    try await LoopTask.runBlocking { closed.wait() }
    return result
}

/// Posts of eight threads against a loop that closes meanwhile: each runs, or is refused, and those of one thread in their order.
func posts(_ count: Int) throws -> Measurement {
    final class Arrivals: @unchecked Sendable {
        // Touched on the loop's thread only.
        var next = [Int](repeating: 0, count: 8)
        var inOrder = true
    }
    final class Refusals: @unchecked Sendable {
        let ended = DispatchSemaphore(value: 0)
        let closing = DispatchSemaphore(value: 0)
        let lock = NSLock()
        var count = 0
    }
    let loop = try EventLoop()
    let arrivals = Arrivals()
    let refusals = Refusals()
    let each = count / 8
    let began = ThisProcess.seconds
    for thread in 0..<8 {
        Thread.detachNewThread {
            var refused = 0
            for number in 0..<each {
                // The second half is posted while the loop closes: before, during and after.
                if number == each / 2 { refusals.closing.wait() }
                do {
                    try loop.callSoonThreadsafe {
                        arrivals.inOrder = arrivals.inOrder && arrivals.next[thread] == number
                        arrivals.next[thread] += 1
                        if thread == 0 && number == each / 2 - 1 { loop.stop() }
                    }
                } catch {
                    refused += 1
                }
            }
            refusals.lock.withLock { refusals.count += refused }
            refusals.ended.signal()
        }
    }
    try loop.runForever()
    for _ in 0..<8 { refusals.closing.signal() }
    try loop.close()
    for _ in 0..<8 { refusals.ended.wait() }
    let time = ThisProcess.seconds - began
    return Measurement(
        count: count, seconds: time, cpuSeconds: time,
        extra: [
            ("ran", Double(arrivals.next.reduce(0, +))), ("refused", Double(refusals.count)), ("in_order", arrivals.inOrder ? 1 : 0),
        ])
}
