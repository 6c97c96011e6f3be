import Foundation
import Testing
@testable import AsyncUV

/// What is ready at once, a million times in a row, on a small stack.
@Suite struct ImmediateCompletionTests {
    private func onSmallStack<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            let thread = Thread { continuation.resume(with: Result { try body() }) }
            thread.stackSize = 512 << 10
            thread.start()
        }
    }

    private static let count = 1_000_000

    @Test func fault25_aMillionAwaitsOfWhatIsDoneNeedNoStack() async throws {
        try await onSmallStack {
            let loop = try EventLoop(clock: .virtual)
            let task = LoopTask(on: loop) {
                let done = try Future<Int>()
                try done.setResult(1)
                var sum = 0
                for _ in 0..<ImmediateCompletionTests.count { sum += try await done.value }
                let lock = try Lock(), queue = try Queue<Int>()
                for number in 0..<ImmediateCompletionTests.count / 10 {
                    try await lock.acquire()
                    try lock.release()
                    try await queue.put(number)
                    sum += try await queue.get() - number
                }
                return sum
            }
            #expect(try loop.runUntilComplete(task) == ImmediateCompletionTests.count)
            try loop.close()
        }
    }

    @Test func fault25_aMillionCallbacksThatCauseOneAnotherNeedNoStack() async throws {
        try await onSmallStack {
            let loop = try EventLoop(clock: .virtual)
            let calls = Shared(0), completions = Shared(0), timers = Shared(0)
            @Sendable func call() throws {
                calls.value += 1
                if calls.value < ImmediateCompletionTests.count { try loop.callSoon { try call() } }
            }
            @Sendable func complete() throws {
                completions.value += 1
                guard completions.value < ImmediateCompletionTests.count / 5 else { return }
                let future = try Future<Int>(on: loop)
                future.addDoneCallback { _ in try complete() }
                try future.setResult(1)
            }
            @Sendable func fire() throws {
                timers.value += 1
                if timers.value < ImmediateCompletionTests.count / 10 { try loop.callLater(.zero) { try fire() } }
            }
            try call()
            try complete()
            try fire()
            _ = try loop.runUntilIdle()
            #expect(calls.value == ImmediateCompletionTests.count && completions.value == ImmediateCompletionTests.count / 5)
            #expect(timers.value == ImmediateCompletionTests.count / 10)
            try loop.close()
        }
    }

    @Test func fault25_manyReadsOfBytesThatAreThereNeedNoStack() async throws {
        try await onSmallStack {
            let loop = try EventLoop()
            let task = LoopTask(on: loop) {
                let (near, far) = try await connectedPair()
                let count = ImmediateCompletionTests.count / 5
                let writer = LoopTask {
                    for _ in 0..<count { try await far.write([1]) }
                    try far.closeWrite()
                }
                var sum = 0
                for _ in 0..<count { sum += Int(try await near.read(exactly: 1)[0]) }
                #expect(try await near.read() == nil)
                try await writer.value
                near.abort()
                far.abort()
                return sum
            }
            #expect(try loop.runUntilComplete(task) == ImmediateCompletionTests.count / 5)
            try loop.runUntilTidy()
            #expect(try loop.close().isEmpty)
        }
    }
}
